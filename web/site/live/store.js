// Photos of the reader's classes in IndexedDB, so that they survive a reload, and a few words in localStorage. They
// stay in this browser.

/** Stores `value` for the next visit, if the browser allows it. */
export function remember(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch {
    // Storage is blocked or full; the page works without it.
  }
}

/** The value stored under `key`, or null. */
export function recall(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

let opening = null;

function database() {
  opening ??= new Promise((done, failed) => {
    const request = indexedDB.open('frostline', 1);
    request.onupgradeneeded = () => request.result.createObjectStore('photos', { autoIncrement: true });
    request.onsuccess = () => done(request.result);
    request.onerror = () => failed(request.error);
  });
  return opening;
}

async function within(mode, work) {
  const transaction = (await database()).transaction('photos', mode);
  const answer = work(transaction.objectStore('photos'));
  return new Promise((done, failed) => {
    transaction.oncomplete = () => done(answer?.result);
    transaction.onabort = transaction.onerror = () => failed(transaction.error);
  });
}

/** All photos: [{ key, label, blob, from }]; `from` is the address of an example. */
export async function all() {
  const found = [];
  await within('readonly', (store) => {
    store.openCursor().onsuccess = ({ target: { result } }) => {
      if (!result) return;
      found.push({ key: result.key, ...result.value });
      result.continue();
    };
  });
  return found;
}

export const add = (label, blob, from) => within('readwrite', (store) => store.add({ label, blob, from }));
export const remove = (key) => within('readwrite', (store) => store.delete(key));
export const clear = () => within('readwrite', (store) => store.clear());
