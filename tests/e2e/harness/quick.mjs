// SPDX-License-Identifier: Apache-2.0
// Desktops made without the form, for scenarios about something else.

export const GiB = 1024 ** 3;

// A desktop of whoever is signed in on the page; its id.
export function create(page, name, gib) {
  return page.evaluate(
    async ([name, bytes]) => {
      const me = await (await fetch('/v1/me')).json();
      const answer = await fetch('/v1/desktops', {
        method: 'POST',
        headers: {
          'Content-Type': 'application/json',
          'X-CSRF-Token': me.csrf_token,
          'Idempotency-Key': name.replace(/\W/g, '-'),
        },
        body: JSON.stringify({
          name,
          template_id: 'compile',
          kind: 'container',
          gpu: { memory_bytes: bytes },
          idle: { stop_after_s: 0, gpu_keeps_alive: true },
        }),
      });
      return (await answer.json()).id;
    },
    [name, gib * GiB],
  );
}
