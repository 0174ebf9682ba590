// Charts as SVG, drawn at their displayed width, so that text keeps its size.

const SVG = 'http://www.w3.org/2000/svg';
const MARGIN = { left: 60, right: 14, top: 26, bottom: 42 };

function add(parent, name, attributes, text) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return parent.appendChild(node);
}

/** Round numbers from at most `low` to at least `high`, about `count` of them. */
export function ticks(low, high, count) {
  const span = high > low ? high - low : 1;
  const power = 10 ** Math.floor(Math.log10(span / count));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => span / size <= count + 0.5);
  const first = Math.floor(low / step + 1e-9), last = Math.ceil(high / step - 1e-9);
  return Array.from({ length: Math.max(last - first, 1) + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

const short = (value) => Math.abs(value) >= 1e6 ? `${value / 1e6}M` : Math.abs(value) >= 1e4 ? `${value / 1e3}k` : `${value}`;

/**
 * Draws into `box`. `chart`: title, x and y (name and unit), low and high (of y, optional), wide
 * (largest x, optional), and series: {name, color (0 to 5), points: [{x, y, label, title}], line,
 * dashed, square}.
 */
export function draw(box, chart) {
  const width = Math.max(box.clientWidth, 260);
  const legend = chart.series.filter((series) => series.name && series.points.length);
  const rows = legendRows(legend, width - MARGIN.left - MARGIN.right);
  const top = MARGIN.top + 18 * rows.count, height = top + MARGIN.bottom + 170;
  const points = chart.series.flatMap((series) => series.points);
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
  svg.setAttribute('role', 'img');
  svg.setAttribute('aria-label', `${chart.title}: ${chart.y} by ${chart.x}, ${points.length} points`);

  const ys = points.map((point) => point.y);
  const xTicks = ticks(0, Math.max(chart.wide ?? 0, ...points.map((point) => point.x), 1e-6), width < 420 ? 5 : 8);
  // Without points there are still axes.
  const [low, high] = ys.length ? [Math.min(...ys), Math.max(...ys)] : [0, chart.high ?? 1];
  const yTicks = ticks(Math.min(chart.low ?? low, low), Math.max(chart.high ?? high, high), 5);
  const [xEnd, yLow, yEnd] = [xTicks.at(-1), yTicks[0], yTicks.at(-1)];
  const x = (value) => MARGIN.left + (width - MARGIN.left - MARGIN.right) * value / xEnd;
  const y = (value) => height - MARGIN.bottom - (height - MARGIN.bottom - top) * (value - yLow) / (yEnd - yLow);

  add(svg, 'text', { x: 4, y: 15, fill: 'currentColor', 'font-weight': 600 }, chart.title);
  for (const { series, at, row } of rows.places) {
    const middle = MARGIN.top + 18 * row + 4;
    if (series.line) add(svg, 'line', { x1: MARGIN.left + at, x2: MARGIN.left + at + 14, y1: middle, y2: middle, ...stroke(series) });
    else mark(svg, { ...series, x: MARGIN.left + at + 6, y: middle });
    add(svg, 'text', { x: MARGIN.left + at + 18, y: middle + 4, fill: 'currentColor' }, series.name);
  }
  for (const value of xTicks) {
    add(svg, 'line', { x1: x(value), x2: x(value), y1: top, y2: height - MARGIN.bottom, stroke: 'var(--line)' });
    add(svg, 'text', { x: x(value), y: height - MARGIN.bottom + 15, fill: 'currentColor', 'text-anchor': 'middle' }, short(value));
  }
  for (const value of yTicks) {
    add(svg, 'line', { x1: MARGIN.left, x2: width - MARGIN.right, y1: y(value), y2: y(value), stroke: 'var(--line)' });
    add(svg, 'text', { x: MARGIN.left - 6, y: y(value) + 4, fill: 'currentColor', 'text-anchor': 'end' }, short(value));
  }
  const [across, up] = [(MARGIN.left + width - MARGIN.right) / 2, (top + height - MARGIN.bottom) / 2];
  add(svg, 'text', { x: across, y: height - 8, fill: 'currentColor', 'text-anchor': 'middle' }, chart.x);
  add(svg, 'text', { x: 13, y: up, fill: 'currentColor', 'text-anchor': 'middle', transform: `rotate(-90 13 ${up})` }, chart.y);

  for (const series of chart.series) {
    const places = series.points.map((point) => ({ ...point, x: x(point.x), y: y(point.y) }));
    if (series.line) {
      add(svg, 'polyline', { points: places.map((place) => `${place.x},${place.y}`).join(' '), fill: 'none', ...stroke(series) });
    }
    for (const place of series.dashed ? [] : places) {
      mark(svg, { ...series, ...place });
      if (place.label) add(svg, 'text', { x: place.x + 8, y: place.y + 4, fill: `var(--c${series.color})` }, place.label);
    }
  }
  if (!points.length) add(svg, 'text', { x: across, y: up, fill: 'var(--quiet)', 'text-anchor': 'middle' }, 'nothing yet');
  box.replaceChildren(svg);
}

const stroke = ({ color, dashed }) => ({ stroke: `var(--c${color})`, 'stroke-width': dashed ? 1.5 : 2, 'stroke-dasharray': dashed ? '4 3' : 'none' });

function mark(svg, { x, y, color, square, title }) {
  const fill = `var(--c${color})`;
  const node = square ? add(svg, 'rect', { x: x - 4, y: y - 4, width: 8, height: 8, fill }) : add(svg, 'circle', { cx: x, cy: y, r: 4, fill });
  if (title) add(node, 'title', {}, title);
}

/** The positions of the legend's names, in as many rows as they need. */
function legendRows(series, width) {
  let at = 0, row = 0;
  const places = series.map((one) => {
    const wide = 32 + 6.6 * one.name.length;
    if (at > 0 && at + wide > width) [at, row] = [0, row + 1];
    const place = { series: one, at, row };
    at += wide;
    return place;
  });
  return { places, count: series.length ? row + 1 : 0 };
}
