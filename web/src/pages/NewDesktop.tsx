// SPDX-License-Identifier: Apache-2.0
// One page, no wizard: template, share, how long, what I get.
import { Alert, Button, Checkbox, Select, Text, TextInput } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useState, type FormEvent } from 'react';
import { useSearchParams } from 'react-router';
import { ApiError, newKey } from '../api/client';
import {
  desktopActions,
  storeDesktop,
  useDesktops,
  useGpus,
  useMe,
  useOffers,
  useTemplates,
} from '../api/queries';
import type { DesktopCreate, Gpu, Offer, OfferList, Template } from '../api/types';
import { kGiB, lengthOfTime, memory } from '../format';
import { useWords } from '../i18n';
import { sentence } from '../i18n/sentences';
import { ComputeFields, computeWords, guaranteeByMemory, type ComputeWish } from '../parts/Compute';
import { cardWords, modelWords, rangeWords } from '../parts/desktop';
import { layoutOptions, layoutOfBrowser } from '../parts/layouts';
import { useToLaunch } from '../parts/launch';
import { MemoryFields, toStep } from '../parts/Memory';
import { useNow } from '../parts/now';
import { ErrorLine, explain, fieldSaid, PageHead, Waiting } from '../parts/Say';
import { CardBar, ShareBar } from '../parts/ShareBar';
import { TemplatePicker, templateWords } from '../parts/Templates';
import { freeName } from './names';

const kRunFor = [0, 3600, 4 * 3600, 8 * 3600, 24 * 3600, 7 * 86_400];
const kIdleStop = [0, 900, 1800, 3600, 2 * 3600, 8 * 3600];

interface Wish {
  template: Template;
  // null: not touched, a free name is proposed.
  name: string | null;
  memoryBytes: number;
  // '' is any.
  model: string;
  compute: ComputeWish;
  runForS: number;
  idleStopS: number;
  gpuKeepsAlive: boolean;
  layout: string;
}

// The card that best fit would take: of those with room, the one with least left over.
export function likelyCard(gpus: Gpu[], memoryBytes: number, model: string): Gpu | undefined {
  return gpus
    .filter((g) => g.mode === 'shared' && !g.stale && (model === '' || g.model === model))
    .filter((g) => g.free_bytes >= memoryBytes)
    .sort((a, b) => a.free_bytes - b.free_bytes || a.index - b.index)[0];
}

// What a share is guaranteed where nothing is said, on the card that it would likely get.
function byMemoryOf(wish: Wish, gpus: Gpu[]): number {
  const card =
    likelyCard(gpus, wish.memoryBytes, wish.model) ??
    gpus.find((g) => wish.model === '' || g.model === wish.model);
  return guaranteeByMemory(wish.memoryBytes, card?.memory_bytes ?? 0);
}

// The answer for the whole wish: the best of the models it may take.
export function bestAnswer(offers: Offer[], model: string): Offer | undefined {
  const rank = { 'starts now': 0, waits: 1, 'over quota': 2, never: 3 };
  return offers
    .filter((o) => model === '' || o.gpu_model === model)
    .sort((a, b) => rank[a.answer] - rank[b.answer])[0];
}

const answers = {
  'starts now': { look: 'good', key: 'offer.now' },
  waits: { look: 'warn', key: 'offer.waits' },
  'over quota': { look: 'warn', key: 'offer.over_quota' },
  never: { look: 'trouble', key: 'offer.never' },
} as const;

function AnswerWord({ offer }: { offer: Offer }) {
  const words = useWords();
  const now = useNow(15_000);
  const { look, key } = answers[offer.answer];
  const range = offer.answer === 'waits' ? rangeWords(offer.start, words, now) : null;
  return <span className={`state ${look}`}>{range ?? words.t(key)}</span>;
}

// Where the chosen model does not start now: another one that does, for the same size.
export function otherModel(offers: Offer[], model: string): Offer | undefined {
  const chosen = model === '' ? undefined : offers.find((o) => o.gpu_model === model);
  if (!chosen || chosen.answer === 'starts now') return undefined;
  return offers.find((o) => o.answer === 'starts now');
}

function Offers(props: {
  offers: OfferList;
  wanted: number;
  model: string;
  onUse: (bytes: number) => void;
  onModel: (model: string) => void;
}) {
  const { offers, wanted, model, onUse, onModel } = props;
  const other = otherModel(offers.items, model);
  const words = useWords();
  const { t, tn } = words;
  return (
    <div aria-live="polite">
      {offers.items.map((o) => (
        <div className="offer" key={o.gpu_model}>
          <span>
            <strong>{modelWords(o.gpu_model, o.simulated, words)}</strong>{' '}
            <span className="quiet">× {o.cards}</span>
          </span>
          <AnswerWord offer={o} />
          <Text size="sm" c="dimmed" style={{ gridColumn: '1 / -1' }}>
            {o.answer === 'starts now'
              ? tn('offer.fits', o.fits_now, { largest: memory(o.largest_now_bytes) })
              : sentence(o.detail, words) ||
                t('offer.largest', {
                  now: memory(o.largest_now_bytes),
                  ever: memory(o.largest_ever_bytes),
                })}
          </Text>
          {o.answer !== 'starts now' &&
            o.largest_now_bytes >= offers.share_min_bytes &&
            o.largest_now_bytes < wanted && (
              <Button
                variant="default"
                size="compact-sm"
                style={{ justifySelf: 'start' }}
                onClick={() => onUse(o.largest_now_bytes)}
              >
                {t('offer.use_now', { size: memory(o.largest_now_bytes) })}
              </Button>
            )}
          {o === other && (
            <Button
              variant="default"
              size="compact-sm"
              style={{ justifySelf: 'start' }}
              onClick={() => onModel(o.gpu_model)}
            >
              {t('offer.other_model', { model: o.gpu_model })}
            </Button>
          )}
        </div>
      ))}
    </div>
  );
}

function ShareSection(props: {
  wish: Wish;
  offers: OfferList | undefined;
  gpus: Gpu[];
  error: ApiError | null;
  set: (part: Partial<Wish>) => void;
}) {
  const words = useWords();
  const { t } = words;
  const { wish, offers, error, set } = props;
  if (!offers) return <Waiting />;
  const largest = Math.max(
    offers.share_min_bytes,
    ...offers.items
      .filter((o) => wish.model === '' || o.gpu_model === wish.model)
      .map((o) => o.largest_ever_bytes),
  );
  const range = { min: offers.share_min_bytes, max: largest, step: offers.share_step_bytes };
  const use = (bytes: number) => set({ memoryBytes: toStep(bytes, range) });
  const refusal = fieldSaid(error, '/gpu/memory_bytes', words) ?? null;
  // The largest that the chosen model could give, at once where there is a choice.
  const alternative = error?.problem.alternatives
    ?.filter((a) => wish.model === '' || a.gpu_model === wish.model)
    .sort(
      (a, b) =>
        Number(b.answer === 'starts now') - Number(a.answer === 'starts now') ||
        b.memory_bytes - a.memory_bytes,
    )[0];
  const models = offers.items.map((o) => ({ value: o.gpu_model, label: o.gpu_model }));
  return (
    <>
      <div>
        <MemoryFields
          bytes={wish.memoryBytes}
          range={range}
          set={(memoryBytes) => set({ memoryBytes })}
        />
        {refusal && (
          <Alert color="red" role="alert" mt="xs" title={refusal}>
            {alternative && (
              <Button
                variant="default"
                size="compact-sm"
                onClick={() => use(alternative.memory_bytes)}
              >
                {t('offer.use_instead', { size: memory(alternative.memory_bytes) })}
              </Button>
            )}
          </Alert>
        )}
      </div>
      {models.length > 1 && (
        <Select
          label={t('new.model')}
          data={[{ value: '', label: t('new.any_model') }, ...models]}
          value={wish.model}
          onChange={(model) => set({ model: model ?? '' })}
          error={fieldSaid(error, '/gpu/model', words)}
        />
      )}
      <ComputeFields
        wish={wish.compute}
        byMemory={byMemoryOf(wish, props.gpus)}
        error={fieldSaid(error, '/gpu/cap_percent', words)}
        set={(compute) => set({ compute })}
      />
      <Offers
        offers={offers}
        wanted={wish.memoryBytes}
        model={wish.model}
        onUse={use}
        onModel={(model) => set({ model })}
      />
    </>
  );
}

function TimeSection({ wish, set }: { wish: Wish; set: (part: Partial<Wish>) => void }) {
  const words = useWords();
  const { t } = words;
  const idle = [...new Set([...kIdleStop, wish.idleStopS])].sort((a, b) => a - b);
  const choice = (seconds: number, zero: string) => ({
    value: String(seconds),
    label: seconds === 0 ? zero : lengthOfTime(seconds, words),
  });
  return (
    <>
      <div className="two">
        <Select
          label={t('new.run_for')}
          data={kRunFor.map((s) => choice(s, t('new.no_end')))}
          value={String(wish.runForS)}
          onChange={(v) => set({ runForS: Number(v ?? 0) })}
        />
        <Select
          label={t('new.idle')}
          data={idle.map((s) => choice(s, t('new.idle_never')))}
          value={String(wish.idleStopS)}
          onChange={(v) => set({ idleStopS: Number(v ?? 0) })}
        />
      </div>
      {wish.idleStopS > 0 && (
        <Checkbox
          label={t('new.gpu_keeps_alive')}
          checked={wish.gpuKeepsAlive}
          onChange={(e) => set({ gpuKeepsAlive: e.currentTarget.checked })}
        />
      )}
      <Select
        label={t('keyboard.layout')}
        data={layoutOptions(words.language)}
        value={wish.layout}
        onChange={(v) => set({ layout: v ?? 'us' })}
      />
    </>
  );
}

function Summary(props: { wish: Wish; name: string; offers: OfferList | undefined; gpus: Gpu[] }) {
  const words = useWords();
  const { t } = words;
  const { wish, offers, gpus } = props;
  const answer = offers && bestAnswer(offers.items, wish.model);
  const now = answer?.answer === 'starts now';
  const fitting = gpus.filter((g) => wish.model === '' || g.model === wish.model);
  const card = now ? likelyCard(gpus, wish.memoryBytes, wish.model) : undefined;
  return (
    <>
      <h2>{t('new.summary')}</h2>
      {card ? (
        <>
          <CardBar
            gpu={card}
            planned={{ memoryBytes: wish.memoryBytes, label: t('new.my_share') }}
          />
          <Text size="sm" c="dimmed">
            {t('new.on_card', {
              card: [cardWords(card, words), card.node].filter(Boolean).join(' · '),
            })}
          </Text>
        </>
      ) : (
        <ShareBar
          totalBytes={Math.max(wish.memoryBytes, ...fitting.map((g) => g.memory_bytes))}
          simulated={fitting.length > 0 && fitting.every((g) => g.simulated)}
          label={t('share.wished', { limit: memory(wish.memoryBytes) })}
          segments={[
            {
              id: 'wish',
              kind: 'planned',
              memoryBytes: wish.memoryBytes,
              usedBytes: 0,
              guaranteePercent: 0,
              label: t('new.my_share'),
              lines: [t('new.my_share'), memory(wish.memoryBytes)],
            },
          ]}
        />
      )}
      <dl className="facts">
        <dt>{t('new.template')}</dt>
        <dd>{templateWords(wish.template, words).name}</dd>
        <dt>{t('new.share')}</dt>
        <dd>{memory(wish.memoryBytes)}</dd>
        <dt>{t('compute.title')}</dt>
        <dd>{computeWords(wish.compute, byMemoryOf(wish, gpus), words)}</dd>
        <dt>{t('new.run_for')}</dt>
        <dd>{wish.runForS ? lengthOfTime(wish.runForS, words) : t('new.no_end')}</dd>
        <dt>{t('new.idle')}</dt>
        <dd>{wish.idleStopS ? lengthOfTime(wish.idleStopS, words) : t('new.idle_never')}</dd>
        <dt>{t('new.home')}</dt>
        <dd>{t('new.home_kept')}</dd>
        <dt>{t('new.start')}</dt>
        <dd>{answer ? <AnswerWord offer={answer} /> : '…'}</dd>
      </dl>
    </>
  );
}

function toBody(wish: Wish, name: string): DesktopCreate {
  return {
    name,
    template_id: wish.template.id,
    kind: 'container',
    gpu: {
      memory_bytes: wish.memoryBytes,
      ...(wish.model && { model: wish.model }),
      guarantee_percent: wish.compute.guarantee,
      cap_percent: wish.compute.cap,
    },
    run_for_s: wish.runForS,
    idle: { stop_after_s: wish.idleStopS, gpu_keeps_alive: wish.gpuKeepsAlive },
    keyboard_layout: wish.layout,
  };
}

function useCreate() {
  const client = useQueryClient();
  const me = useMe();
  const launch = useToLaunch();
  // One key per filled-in form: a second click on a slow network makes no second desktop.
  const [attempt, setAttempt] = useState({ body: '', key: newKey() });
  return useMutation({
    mutationFn: (body: DesktopCreate) => {
      const text = JSON.stringify(body);
      const key = text === attempt.body ? attempt.key : newKey();
      setAttempt({ body: text, key });
      return desktopActions.create(body, key);
    },
    onSuccess: (desktop) => {
      storeDesktop(client, desktop, me?.user.id);
      launch(desktop.id, null);
    },
    // The refusal is not to be replayed.
    onError: () => setAttempt({ body: '', key: newKey() }),
  });
}

function Form({ templates, first }: { templates: Template[]; first: Template }) {
  const words = useWords();
  const { t } = words;
  const [wish, setWish] = useState<Wish>(() => ({
    template: first,
    name: null,
    memoryBytes: first.default_memory_bytes || 8 * kGiB,
    model: '',
    compute: { guarantee: null, cap: 0 },
    runForS: 0,
    idleStopS: first.default_idle_stop_s,
    gpuKeepsAlive: true,
    layout: layoutOfBrowser(navigator.language),
  }));
  const set = (part: Partial<Wish>) => setWish((old) => ({ ...old, ...part }));
  const [asked] = useDebouncedValue(wish.memoryBytes, 150);
  const offers = useOffers(asked);
  const gpus = useGpus();
  const mine = useDesktops('mine');
  const create = useCreate();
  const error = create.error instanceof ApiError ? create.error : null;
  const proposed = freeName(
    templateWords(wish.template, words).name,
    mine.data?.map((d) => d.name) ?? [],
  );
  const name = wish.name ?? proposed;
  const nameError = name.trim() === '' ? t('say.needed') : fieldSaid(error, '/name', words);
  const inField = ['/gpu/memory_bytes', '/gpu/model', '/gpu/cap_percent', '/name'].some((p) =>
    error?.field(p),
  );
  const failure = create.error && !inField ? explain(create.error, words) : null;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (name.trim() === '') return;
    // Enter in the number field submits before it loses the focus.
    const memoryBytes = offers.data
      ? toStep(wish.memoryBytes, {
          min: offers.data.share_min_bytes,
          max: Number.MAX_SAFE_INTEGER,
          step: offers.data.share_step_bytes,
        })
      : wish.memoryBytes;
    create.mutate(toBody({ ...wish, memoryBytes }, name.trim()));
  };
  const choose = (template: Template) =>
    set({
      template,
      memoryBytes: template.default_memory_bytes || wish.memoryBytes,
      idleStopS: template.default_idle_stop_s,
    });
  return (
    <form onSubmit={submit} className="form-columns">
      <div className="gpu-cards">
        <section className="panel section" aria-label={t('new.template')}>
          <h2>{t('new.template')}</h2>
          <TemplatePicker templates={templates} value={wish.template.id} onChange={choose} />
          <TextInput
            label={t('new.name')}
            value={name}
            onChange={(e) => set({ name: e.currentTarget.value })}
            maxLength={200}
            error={nameError}
          />
        </section>
        <section className="panel section" aria-label={t('new.share')}>
          <h2>{t('new.share_title')}</h2>
          <ShareSection
            wish={wish}
            offers={offers.data}
            gpus={gpus.data ?? []}
            error={error}
            set={set}
          />
        </section>
        <section className="panel section" aria-label={t('new.time_title')}>
          <h2>{t('new.time_title')}</h2>
          <TimeSection wish={wish} set={set} />
        </section>
      </div>
      <section className="panel section sticky" aria-label={t('new.summary')}>
        <Summary wish={wish} name={name} offers={offers.data} gpus={gpus.data ?? []} />
        {failure && (
          <Alert color="red" role="alert" title={failure.title}>
            {failure.detail}
          </Alert>
        )}
        <Button type="submit" loading={create.isPending} disabled={!wish.template.available}>
          {t('new.go')}
        </Button>
      </section>
    </form>
  );
}

export default function NewDesktop() {
  const { t } = useWords();
  const templates = useTemplates();
  const [params] = useSearchParams();
  if (templates.isPending) return <Waiting />;
  if (templates.isError) {
    return <ErrorLine error={templates.error} retry={() => void templates.refetch()} />;
  }
  const wanted = params.get('template');
  const first =
    templates.data.find((x) => x.id === wanted) ??
    templates.data.find((x) => x.available) ??
    templates.data[0];
  return (
    <>
      <PageHead title={t('desktops.new')} />
      {first ? (
        <Form templates={templates.data} first={first} />
      ) : (
        <Text>{t('new.no_templates')}</Text>
      )}
    </>
  );
}
