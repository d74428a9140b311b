// SPDX-License-Identifier: Apache-2.0
// The portal writes its reasons in English. Those with a fixed form (model/desktop.cc, control,
// scheduler) are said here in the reader's language; one that is new is shown as it came rather
// than lost.
import type { Words } from '.';

// `say` is the Chinese; $1, $2 … are the parts that the form catches.
interface Form {
  form: RegExp;
  say: string;
}

const exactly = (text: string): RegExp =>
  new RegExp(`^${text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}$`);

const fixed: Record<string, string> = {
  'Only its user or an admin may change this desktop.': '只有所有者或管理员可以更改此桌面。',
  'The desktop is being deleted.': '桌面正在删除。',
  'Choose a password of your own first.': '请先设置自己的密码。',
  'This desktop has no end that could be put off.': '此桌面没有可以延长的结束时间。',
  'Only its user may control a desktop. Ask for mode view.':
    '只有所有者可以操作桌面，其他人只能查看。',
  'Too many tickets are outstanding.': '未使用的票据过多。',
  'The store does not answer.': '存储没有响应。',
  'The agent does not answer.': '代理没有响应。',
  'This is the last enabled admin. Make somebody else admin first.':
    '这是最后一个启用的管理员。请先设置另一位管理员。',
  'This account stands for whoever administers this machine; it cannot be changed.':
    '此账户代表本机的管理者，不能更改。',
  'must be an XKB layout like us, de or cn': '必须是 XKB 布局，例如 us、de 或 cn',
  'is missing': '缺失',
  'A share of a GPU is set aside.': '已预留 GPU 份额。',
  'Being deleted, as asked.': '正在按要求删除。',
  'Being suspended, as asked.': '正在按要求挂起。',
  'Clearing up what is left of it.': '正在清理。',
  'In use again.': '恢复使用。',
  'In use.': '使用中。',
  'Its share of the GPU is gone. Start it to try again.': 'GPU 份额已丢失。可重新启动。',
  'Its time is nearly over: it stops within 5 min unless it is extended.':
    '时间即将用完：若不延长，将在 5 分钟内停止。',
  'It has its share by now.': '已获得份额。',
  'What has been asked for here is being worked out.': '正在统计本机的历史请求。',
  'It ended unexpectedly. Start it to try again.': '桌面意外结束。可重新启动。',
  'No GPU here can ever give the share that was asked for.': '本机没有显卡能提供所需的份额。',
  'Nobody has used it for a while; it will stop soon.': '已有一段时间无人使用，即将停止。',
  'Nobody is connected; its programs run on.': '无人连接，程序继续运行。',
  'Preparing the home folder.': '正在准备主目录。',
  'Ready.': '就绪。',
  'Restarting, as asked.': '正在按要求重启。',
  'Somebody is working in it.': '使用中。',
  'Starting again on the same share.': '正在同一份额上重新启动。',
  'Starting the display.': '正在启动显示。',
  'Stopped while waiting for a GPU.': '在等待 GPU 时停止。',
  'Stopped.': '已停止。',
  'Stopping because nobody used it.': '因无人使用正在停止。',
  'Stopping, as asked.': '正在按要求停止。',
  'Suspended because nobody used it.': '因无人使用已挂起。',
  'Suspended. Its programs wait where they were.': '已挂起，程序停留在原处。',
  'The GPU went away before the start; waiting again.': '启动前 GPU 不再可用，重新等待。',
  'The desktop could not be started. Start it to try again.': '桌面无法启动。可重试。',
  'The desktop could not be stopped cleanly.': '桌面未能正常停止。',
  'The desktop could not be suspended.': '桌面无法挂起。',
  'The desktop ended unexpectedly. Start it to try again.': '桌面意外结束。可重新启动。',
  'The share was taken back before the start; waiting again.': '启动前份额被收回，重新等待。',
  'Waiting for a GPU to resume on.': '等待 GPU 以恢复运行。',
  'Waiting for a GPU.': '等待 GPU。',
  'What was suspended can no longer be resumed.': '已挂起的内容无法恢复。',
};

const forms: Form[] = [
  ...Object.entries(fixed).map(([text, say]) => ({ form: exactly(text), say })),
  {
    form: /^Nobody has used it for (.+)\. It stops in (.+) unless somebody does\.$/,
    say: '已有 $1 无人使用。若仍无人使用，将在 $2 后停止。',
  },
  {
    form: /^team (.+) holds (.+) of its (.+); (.+) more would pass that$/,
    say: '团队 $1 的 $3 已占用 $2；再加 $4 将超出。',
  },
  {
    form: /^asks for (.+); team (.+) may hold (.+) in all$/,
    say: '所需 $1 超出团队 $2 的总上限 $3。',
  },
  {
    form: /^Stopped because nobody used it for (.+)\. The home is kept\.$/,
    say: '因 $1 无人使用而停止。主目录已保留。',
  },
  {
    form: /^Stopped because its time of (.+) is over\. The home is kept\.$/,
    say: '运行时长 $1 已到，桌面已停止。主目录已保留。',
  },
  {
    form: /^The display did not answer within (.+)\. Start it to try again; its log says more\.$/,
    say: '显示在 $1 内没有响应。可重试；详情见日志。',
  },
  {
    form: /^Nothing was painted within (.+)\. Start it to try again; its log says more\.$/,
    say: '$1 内没有画面。可重试；详情见日志。',
  },
  {
    form: /^(\w+) goes by what has been asked for here: (\d+) of the (\d+) claims that it needs have run\. Until then tightest_card is in force\.$/,
    say: '$1 依据本机的历史请求：所需的 $3 个中已有 $2 个运行过。在此之前使用 tightest_card。',
  },
  {
    form: /^Goes by the last (\d+) claims, of (\d+) kinds?\. Rehearsed with them, fgd does as well on these cards: it is in force\.$/,
    say: '依据最近的 $1 个请求（$2 类）。经演练，fgd 在这些显卡上同样好，因此使用 fgd。',
  },
  {
    form: /^Goes by the last (\d+) claims, of (\d+) kinds?\.$/,
    say: '依据最近的 $1 个请求（$2 类）。',
  },
  { form: /^(.+) is below the smallest share$/, say: '$1 小于最小份额' },
  { form: /^on (.+) instead of (.+)$/, say: '在 $1，而不是 $2' },
  { form: /^on (.+)$/, say: '在 $1' },
  { form: /^(\d+%) of (.+) are guaranteed$/, say: '$2 已保证 $1' },
  { form: /^This needs the role (.+)\.$/, say: '需要角色 $1。' },
  {
    form: /^You may have (\d+) desktops, and you have them\. Delete one first\.$/,
    say: '您最多可有 $1 个桌面，已达上限。请先删除一个。',
  },
  {
    form: /^That would be (.+) of GPU memory; you may hold (.+) at once\.$/,
    say: '这样将占用 $1 显存；您最多可同时占用 $2。',
  },
  { form: /^You have (\d+) tokens; delete one first\.$/, say: '您已有 $1 个令牌，请先删除一个。' },
  { form: /^There is already a user (.+)\.$/, say: '用户 $1 已存在。' },
  { form: /^(.+) still has desktops\. Delete them first\.$/, say: '$1 仍有桌面，请先删除。' },
  { form: /^The host lacks (.+)\. Install it with: (.+)$/, say: '主机缺少 $1。安装命令：$2' },
  {
    form: /^The share stays as it is: its programs use (.+) now; (.+) would be too little\.$/,
    say: '份额保持不变：程序正在使用 $1，$2 不够。',
  },
  {
    form: /^The share stays as it is: the card has (.+) of its compute for this share\.$/,
    say: '份额保持不变：该卡可给此份额的算力为 $1。',
  },
  {
    form: /^The share stays as it is: the card has (.+) for this share\.$/,
    say: '份额保持不变：该卡可给此份额 $1。',
  },
  {
    form: /^It moves to another GPU: at (.+) it is restarted there, with its home as it is\. Save your work\.$/,
    say: '将迁移到另一张显卡：$1 在那里重启，主目录保持不变。请保存工作。',
  },
  {
    form: /^Its share of the GPU is needed for somebody who comes before it\. It stops at (.+) and waits in the queue again; its home is kept\. Save your work\.$/,
    say: '其 GPU 份额要让给优先的用户。将在 $1 停止并重新排队，主目录会保留。请保存工作。',
  },
  {
    form: /^It gave its share of the GPU to somebody who comes before it\. It starts again by itself when there is room; its home is as it was\.$/,
    say: '已将 GPU 份额让给优先的用户。有空位时会自动重新启动，主目录不变。',
  },
  ...(
    [
      ["It is counted as this desktop's\\.", '已计入此桌面。'],
      [
        'Until it ends, all work of this desktop on the GPU is slowed down\\.',
        '在其结束之前，此桌面的 GPU 工作会变慢。',
      ],
      ['It was asked to end\\.', '已请求其退出。'],
      ['It did not end when asked to, and was killed\\.', '请求后未退出，已强制结束。'],
    ] as const
  ).map(([english, said]) => ({
    form: new RegExp(
      `^"(.+)" holds (.+) of the GPU in a way that this desktop's share does not see\\. ${english}$`,
    ),
    say: `“$1”占用了 $2 显存，而此桌面的份额看不到。${said}`,
  })),
  {
    form: /^There is nothing to take back: no desktop is where a consolidation has put it\.$/,
    say: '没有可撤回的操作：没有桌面位于整理后的位置。',
  },
  {
    form: /^The desktops of this pool change too quickly; try again\.$/,
    say: '此资源池的桌面变化太快，请重试。',
  },
  {
    form: /^The pool has (?:no card|(\d+) cards?): name no more, or 0 for none\.$/,
    say: '超出资源池的卡数；0 表示不限。',
  },
  {
    form: /^At most (\d+) cards may carry shares, so no more can be left to them: name no more, or raise ceiling_cards\.$/,
    say: '最多 $1 张卡承载份额，保留数不能更多；或提高上限。',
  },
  {
    form: /^(\d+) cards are left to shares, so as many must be allowed to carry them: name no fewer, 0 for none, or lower floor_cards\.$/,
    say: '为份额保留了 $1 张卡，上限不能更少；0 表示不限，或降低保留数。',
  },
  { form: /^must be after starts_at and in the future$/, say: '必须晚于开始时间且在将来' },
  { form: /^The card is (.+) now\.$/, say: '显卡当前为 $1。' },
  { form: /^There is no (?:desktop|card|user|team|pool|reservation) (.+)\.$/, say: '$1 不存在。' },
  { form: /^needs at least (\d+) characters$/, say: '至少 $1 个字符' },
  { form: /^must have 1 to (\d+) characters$/, say: '须为 1 至 $1 个字符' },
  { form: /^must be from (.+) to (.+)$/, say: '须在 $1 至 $2 之间' },
  { form: /^must be one of: (.+)$/, say: '须为以下之一：$1' },
  { form: /^It ended while it was starting: (.+)$/, say: '启动过程中结束：$1' },
  {
    form: /^Could not be cleared up yet and is tried again: (.+)$/,
    say: '尚未清理完毕，正在重试：$1',
  },
  { form: /^Its template "(.+)" is no longer there\.?$/, say: '模板“$1”已不存在。' },
  { form: /^The X server was killed \(signal (\d+)\)\.$/, say: 'X 服务器被终止（信号 $1）。' },
];

// What cards say to a request: the core's words, then what stands in brackets after them.
const cardWords: Record<string, string> = {
  'on a machine that is out of service': '所在机器停用',
  'not named': '未被指定',
  'of another vendor': '厂商不同',
  'another model': '型号不同',
  'in another pool': '在其他资源池',
  'too small': '容量不足',
  'too little CPU': 'CPU 不足',
  'too little main memory': '内存不足',
  'on a machine without a free slot': '所在机器没有空位',
  'in use': '使用中',
  'too little memory': '显存不足',
  'too little compute': '算力不足',
  'without a free slot': '没有空位',
  'too few of one machine': '同一机器的卡太少',
  free: '空闲',
  'kept for others': '保留给他人',
  'kept for shares': '为份额保留',
  'kept whole': '保持整卡',
  'reserved for another team': '已为其他团队预留',
  'given out whole': '已整卡分配',
  'held for passthrough': '留作直通',
  'divided into parts': '已分区',
  moving: '迁移中',
  cordoned: '已停止分配',
  failed: '故障',
  unhealthy: '不健康',
  'not heard of': '失联',
};
const cardFigures: Form[] = [
  { form: /^(?:largest|most) free (.+)$/, say: '最大空闲 $1' },
  { form: /^floor (\d+)$/, say: '下限 $1' },
  { form: /^ceiling (\d+)$/, say: '上限 $1' },
  { form: /^largest has (.+)$/, say: '最大的有 $1' },
  { form: /^most together (.+)$/, say: '最多 $1' },
  { form: /^has (.+)$/, say: '共 $1' },
  { form: /^(.+) free$/, say: '空闲 $1' },
  { form: /^(.+) together$/, say: '共 $1' },
];

// "too little memory (largest free 6 GiB)".
function ofCards(text: string): string | null {
  const match = /^([^(]+?)(?: \((.+)\))?$/.exec(text);
  const said = cardWords[match?.[1] ?? ''];
  if (said === undefined || !match) return null;
  if (match[2] === undefined) return said;
  const figure = say(match[2], cardFigures);
  return figure === null ? null : `${said}（${figure}）`;
}

// "24 cards: 11 too little memory (largest free 6 GiB), 9 another model".
function ofAllCards(text: string): string | null {
  const match = /^(\d+) (card|machine)s?: (.+)$/.exec(text);
  if (!match) return null;
  const said = (match[3] ?? '').split(/, (?=\d+ )/).map((part) => {
    const [, count = '', words = ''] = /^(\d+) (.+)$/.exec(part) ?? [];
    const of = ofCards(words);
    return of === null ? null : `${count} ${match[2] === 'card' ? '张' : '台'}${of}`;
  });
  const all = `${match[1]} ${match[2] === 'card' ? '张卡' : '台机器'}`;
  return said.every((part) => part !== null) ? `${all}：${said.join('，')}` : null;
}

// Parts of the scheduler's reasons, which join them by "; ".
const parts: Form[] = [
  { form: /^needs (\S+ \S+) on (?:one|the named) card$/, say: '需要单卡 $1' },
  {
    form: /^needs (\S+ \S+) and (\S+) of the compute on (?:one|the named) card$/,
    say: '需要单卡 $1 和 $2 的算力',
  },
  { form: /^needs (\S+ \S+) on (?:one|the) (.+) card$/, say: '需要 $2 单卡 $1' },
  {
    form: /^needs (\S+ \S+) and (\S+) of the compute on (?:one|the) (.+) card$/,
    say: '需要 $3 单卡 $1 和 $2 的算力',
  },
  { form: /^largest free: (.+)$/, say: '当前最大空闲 $1' },
  { form: /^(?:it is|each is) full$/, say: '显卡已满' },
  { form: /^(?:it is|each is) in use$/, say: '显卡使用中' },
  { form: /^most compute free where the memory is: (.+)$/, say: '显存足够的卡上最多空闲算力 $1' },
  { form: /^none is in service now: (.+)$/, say: '目前没有可用的显卡：$1' },
  { form: /^out of service: (.+)$/, say: '停用：$1' },
  { form: /^(.+) are free, but kept for the first in the queue$/, say: '空闲 $1，但保留给队首' },
  { form: /^(\d+) desktops? gives? way to it at (.+)$/, say: '$1 个桌面将于 $2 为其让位' },
  { form: /^(.+) are free, but reserved for another team$/, say: '空闲 $1，但已为其他团队预留' },
  {
    form: /^(\d+) cards? (?:is|are) kept whole \(ceiling (\d+)\)$/,
    say: '$1 张卡保持整卡（上限 $2）',
  },
  {
    form: /^(\d+) cards? (?:is|are) unused, but kept for shares \(floor (\d+)\)$/,
    say: '$1 张卡空闲，但为份额保留（下限 $2）',
  },
  {
    form: /^(?:none|at most (\d+)) of (\d+) may carry shares \(ceiling (\d+)\)$/,
    say: '$2 张卡中承载份额的不超过上限 $3',
  },
  {
    form: /^(?:none|at most (\d+)) of (\d+) may be given out whole \(floor (\d+)\)$/,
    say: '$2 张卡中须为份额保留 $3 张，不能整卡分配',
  },
  { form: /^enough is free, but kept for the first in the queue$/, say: '空闲足够，但保留给队首' },
  { form: /^enough is free, but reserved for another team$/, say: '空闲足够，但已为其他团队预留' },
  { form: /^the largest has (.+)$/, say: '最大的显卡有 $1' },
  { form: /^a card has 100%$/, say: '单卡为 100%' },
  { form: /^there is no GPU here$/, say: '本机没有 GPU' },
  { form: /^there is no (.+) here, only: (.+)$/, say: '本机没有 $1，只有：$2' },
];

// "1 h 30 min" → "1 小时 30 分".
function span(text: string): string {
  if (!/^\d+ (s|min|h)( \d+ min)?$/.test(text)) return text;
  return text.replace('min', '分').replace('h', '小时').replace(/s$/, '秒');
}

function say(text: string, table: Form[]): string | null {
  for (const row of table) {
    const match = row.form.exec(text);
    if (match) return row.say.replace(/\$(\d)/g, (_, n: string) => span(match[Number(n)] ?? ''));
  }
  return null;
}

// The sentence in Chinese, or null where it has no known form.
export function inChinese(text: string): string | null {
  const whole = say(text, forms) ?? ofAllCards(text) ?? ofCards(text);
  if (whole !== null) return whole;
  const said = text
    .replace(/\.$/, '')
    .split('; ')
    .map((part) => say(part, parts));
  return said.every((part) => part !== null) ? `${said.join('；')}。` : null;
}

export function sentence(text: string, words: Pick<Words, 'language'>): string {
  const trimmed = text.trim();
  const shown = words.language === 'en' ? trimmed : (inChinese(trimmed) ?? trimmed);
  return shown.charAt(0).toUpperCase() + shown.slice(1);
}
