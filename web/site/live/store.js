// Photos of the reader's classes in IndexedDB, so that they survive a reload. They stay in this browser.

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

/** All photos: [{ key, label, blob }]. */
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

export const add = (label, blob) => within('readwrite', (store) => store.add({ label, blob }));
export const remove = (key) => within('readwrite', (store) => store.delete(key));
export const clear = () => within('readwrite', (store) => store.clear());
