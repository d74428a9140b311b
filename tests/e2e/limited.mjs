// SPDX-License-Identifier: Apache-2.0
// Programs typed into the terminal of a desktop see one GPU with exactly the share's memory, and
// no more than that, whatever they try.
import { check, same, scenario } from './harness/scenario.mjs';
import { until } from './harness/until.mjs';

const GiB = 1024 ** 3;
const MiB = 1024 ** 2;
const share = 8 * GiB;

// Asks the driver API as any program does: what is there, one byte too much, then all there is.
const over = `
import sys
from ctypes import *
c = CDLL("libcuda.so.1")
d, x, p, n, f = c_int(), c_void_p(), c_uint64(), c_size_t(), c_size_t()
start = [c.cuInit(0), c.cuDeviceGetCount(byref(d)), d.value, c.cuDeviceGet(byref(d), 0)]
start += [c.cuDeviceTotalMem_v2(byref(n), d), n.value, c.cuCtxCreate_v2(byref(x), 0, d)]
start += [c.cuMemGetInfo_v2(byref(f), byref(n)), n.value]
print(*start, c.cuMemAlloc_v2(byref(p), c_size_t(n.value + 1)))
most = int(sys.argv[1]) << 20
got, code = 0, 0
while got < most and code == 0:
    code = c.cuMemAlloc_v2(byref(p), c_size_t(64 << 20))
    got += (64 << 20) * (code == 0)
print(got >> 20, code, flush=True)
if len(sys.argv) > 2: input()
`;

await scenario('limited', { simulate: '1x24GiB' }, async ({ server, newPerson, step }) => {
  const lina = await newPerson();
  const { page } = lina;
  let screen;

  await step('a desktop with 8 GiB of a card', async () => {
    await lina.firstSignIn(server.admin);
    await lina.button('desktops.start_preset', { name: 'PyTorch' }).click();
    screen = await lina.screen();
    await screen.showsTerminal();
  });

  await step('sluice gpu says the share', async () => {
    const { code, output } = await screen.run('sluice gpu');
    same(code, 0, `exit code of sluice gpu, which says: ${output}`);
    check(output.includes('8 GiB'), `no limit in: ${output}`);
    check(output.includes('simulated'), `not called simulated: ${output}`);
  });

  await step('sluice gpu test passes and finds the limit', async () => {
    const { code, output } = await screen.run('sluice gpu test --json');
    same(code, 0, `exit code of sluice gpu test, which says: ${output}`);
    const report = JSON.parse(output);
    same(report.total_bytes, share, 'memory of the card');
    same(report.simulated, true, 'simulated');
    const refused = report.steps.find((s) => s.name === 'be refused more than there is');
    check(refused?.passed && refused.detail.includes('OUT_OF_MEMORY'), JSON.stringify(refused));
  });

  await step('a program typed in gets out of memory past the share', async () => {
    await screen.type(`cat >~/over.py <<'END'${over}END\n`);
    const { output } = await screen.run('python3 ~/over.py 99999');
    const [start, end] = output.split('\n').map((line) => line.split(' ').map(Number));
    same(start, [0, 0, 1, 0, 0, share, 0, 0, share, 2], 'start, memory, one byte too much');
    same(end[1], 2, 'the last answer is CUDA_ERROR_OUT_OF_MEMORY');
    check(end[0] <= share / MiB && end[0] > share / MiB - 1024, `${end[0]} MiB were given`);
  });

  await step('without its environment it gets the same', async () => {
    const { output } = await screen.run('env -i /usr/bin/python3 ~/over.py 99999');
    const [start, end] = output.split('\n').map((line) => line.split(' ').map(Number));
    same([start[5], start[9], end[1]], [share, 2, 2], 'memory, one byte too much, the last');
  });

  await step('two processes have one share together, and the page shows it', async () => {
    await screen.type('mkfifo ~/hold; python3 ~/over.py 5120 x <~/hold >~/first & exec 9>~/hold\n');
    await screen.fileWith('first', /^5120 0$/m);
    const meter = page.locator('.viewer-bar button[data-used]');
    await until('the meter to show 5 GiB of 8 GiB', async () => {
      const [used, limit] = await Promise.all(
        ['data-used', 'data-limit'].map(async (name) => Number(await meter.getAttribute(name))),
      );
      return limit === share && used >= 5 * GiB && used <= share;
    });
    const { output } = await screen.run('python3 ~/over.py 99999');
    const [most, code] = output.split('\n')[1].split(' ').map(Number);
    same(code, 2, 'the last answer of the second');
    check(most <= 3 * 1024 && most > 2 * 1024, `the second was given ${most} MiB`);
  });

  await step('after a kill all of it is back', async () => {
    await screen.run('pkill -9 -f over.py; exec 9>&-');
    await until('the share to be empty again', async () => {
      const { usage } = (await server.desktops())[0];
      return usage?.used_bytes === 0;
    });
    const { output } = await screen.run('python3 ~/over.py 99999');
    const [most] = output.split('\n')[1].split(' ').map(Number);
    check(most > share / MiB - 1024, `only ${most} MiB were given`);
  });
});
