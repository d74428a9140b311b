// SPDX-License-Identifier: Apache-2.0
// The theme's colors for uPlot, which draws on a canvas and knows no style sheet.
export function chartColors(host: HTMLElement) {
  const style = getComputedStyle(host);
  const color = (name: string) => style.getPropertyValue(name).trim();
  const line = { stroke: color('--sluice-line'), width: 1 };
  return { color, line, axis: { stroke: color('--sluice-quiet'), grid: line } };
}
