// What the reader chose, in the page's address: it survives a reload and can be sent to others.

export const get = (name) => new URLSearchParams(location.search).get(name);

/** The number `name` if it is one from `low` to `high`, or `otherwise`. */
export function number(name, otherwise, low, high) {
  const value = Number(get(name) ?? NaN);
  return value >= low && value <= high ? value : otherwise;
}

/** Sets the given ones; null removes one. */
export function set(values) {
  const all = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(values))
    value === null ? all.delete(name) : all.set(name, value);
  const text = all.toString();
  history.replaceState(history.state, '', `${location.pathname}${text && `?${text}`}${location.hash}`);
}
