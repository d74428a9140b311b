// SPDX-License-Identifier: Apache-2.0
// Waits for a condition, never for a time.

// Resolves with the first value of `ask` that is neither false, null nor undefined. Fails with
// `what` and the last thing that went wrong once `withinMs` have passed.
export async function until(what, ask, withinMs = 15_000) {
  const deadline = Date.now() + withinMs;
  let last = '';
  for (;;) {
    try {
      const value = await ask();
      if (value !== false && value !== null && value !== undefined) return value;
      last = `it was ${String(value)}`;
    } catch (error) {
      last = error instanceof Error ? error.message : String(error);
    }
    if (Date.now() > deadline) throw new Error(`waited ${withinMs} ms for: ${what}; ${last}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
