// The reader's choices, stored in the page's address: they survive a reload and can be sent to others.

export const get = (name) => new URLSearchParams(location.search).get(name);

/** The value of `name` if it is in `list`, else `otherwise`: a value without an option is not chosen. */
export const among = (name, list, otherwise) => list.find((one) => String(one) === get(name)) ?? otherwise;

/** Sets the given values; null removes one. */
export function set(values) {
  const all = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(values))
    value === null ? all.delete(name) : all.set(name, value);
  const text = all.toString();
  history.replaceState(history.state, '', `${location.pathname}${text && `?${text}`}${location.hash}`);
}
