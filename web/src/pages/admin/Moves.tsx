// SPDX-License-Identifier: Apache-2.0
// Desktops that go from card to card: as a table, and as the cards before and after.
import { Anchor } from '@mantine/core';
import type { ReactNode } from 'react';
import { Link } from 'react-router';
import type { ConsolidationPlan, Gpu } from '../../api/types';
import { memory } from '../../format';
import { useWords } from '../../i18n';
import { cardName } from '../../parts/desktop';
import { IconArrowRight } from '../../parts/icons';
import { Rows } from '../../parts/Rows';
import { CardBar } from '../../parts/ShareBar';

export type Move = ConsolidationPlan['moves'][number];

export const namesOf = (ids: string[], gpus: Gpu[]) =>
  ids.map((id) => cardName(id, gpus)).join(', ');

// The card as it is after the moves.
export function afterMoves(gpu: Gpu, moves: Move[]): Gpu {
  const leaves = new Set(
    moves.filter((m) => m.from_gpu_ids.includes(gpu.id)).map((m) => m.desktop_id),
  );
  const stays = gpu.shares.filter((share) => !leaves.has(share.desktop_id ?? ''));
  const comes = moves
    .filter((move) => move.to_gpu_ids.includes(gpu.id))
    .map((move) => ({
      claim_id: `to ${move.desktop_id}`,
      desktop_id: move.desktop_id,
      run_command: null,
      owner: move.owner,
      name: move.name,
      memory_bytes: move.memory_bytes / move.to_gpu_ids.length,
      used_bytes: null,
      compute_percent: 0,
      waiting_percent: 0,
      priority: 0,
      guarantee_percent: 0,
      cap_percent: 0,
      since: null,
      busy: false,
    }));
  const shares = [...stays, ...comes];
  const held = shares.reduce((sum, share) => sum + share.memory_bytes, 0);
  return { ...gpu, shares, held_bytes: held };
}

export function MovesTable<M extends Move>(props: {
  label: string;
  moves: M[];
  gpus: Gpu[];
  status?: (move: M) => ReactNode;
}) {
  const { t } = useWords();
  const { moves, gpus, status } = props;
  return (
    <Rows
      label={props.label}
      head={[
        t('whole.desktop'),
        t('pools.whose'),
        t('whole.share'),
        t('whole.way'),
        ...(status ? [t('live.state')] : []),
      ]}
    >
      {moves.map((move) => (
        <tr key={move.desktop_id} tabIndex={0} data-move={move.name}>
          <td>
            <Anchor size="sm" component={Link} to={`/desktops/${move.desktop_id}`}>
              {move.name}
            </Anchor>
          </td>
          <td>{move.owner}</td>
          <td className="nowrap">{memory(move.memory_bytes)}</td>
          <td className="nowrap">
            <span className="state">
              {namesOf(move.from_gpu_ids, gpus)}
              <IconArrowRight size={14} aria-label={t('whole.to')} />
              {namesOf(move.to_gpu_ids, gpus)}
            </span>
          </td>
          {status && <td className="nowrap">{status(move)}</td>}
        </tr>
      ))}
    </Rows>
  );
}

// Each card that the moves touch, as it is and as it would be.
export function BeforeAfter({ moves, gpus }: { moves: Move[]; gpus: Gpu[] }) {
  const { t } = useWords();
  const ids = new Set(moves.flatMap((move) => [...move.from_gpu_ids, ...move.to_gpu_ids]));
  const touched = gpus.filter((gpu) => ids.has(gpu.id));
  if (touched.length === 0) return null;
  return (
    <div className="before-after">
      <span />
      <span className="quiet">{t('whole.before')}</span>
      <span className="quiet">{t('whole.after')}</span>
      {touched.map((gpu) => [
        <span key={`${gpu.id} name`} className="nowrap">
          {cardName(gpu.id, gpus)}
          {gpu.simulated && <span className="quiet"> · {t('simulated.word')}</span>}
        </span>,
        <CardBar key={`${gpu.id} before`} gpu={gpu} />,
        <CardBar key={`${gpu.id} after`} gpu={afterMoves(gpu, moves)} />,
      ])}
    </div>
  );
}
