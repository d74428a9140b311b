// SPDX-License-Identifier: Apache-2.0
// What closes a panel of the bar from outside: a press, and the desktop taking the keyboard back.
// noVNC keeps mouse events on the desktop to itself, so the usual "mousedown" would never come.
export const closedBy = ['pointerdown', 'focusin'];
