// SPDX-License-Identifier: Apache-2.0
// Teams: what each is guaranteed of the cards, how much it may hold, and what it holds.
import { Button, Checkbox, Group, NumberInput, TextInput } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { ApiError, call, newKey } from '../../api/client';
import { keys, useTeams } from '../../api/queries';
import type { Team } from '../../api/types';
import { kGiB, memory } from '../../format';
import { useWords } from '../../i18n';
import { Ask } from '../../parts/Ask';
import { FormDialog } from '../../parts/FormDialog';
import { IconPlus } from '../../parts/icons';
import { Listed } from '../../parts/Listed';
import { fieldSaid, useSayError } from '../../parts/Say';

type Open = { kind: 'add' } | { kind: 'edit' | 'delete'; team: Team };

function TeamForm({ team, onClose }: { team: Team | null; onClose: () => void }) {
  const words = useWords();
  const { t } = words;
  const client = useQueryClient();
  const [key] = useState(newKey);
  const [name, setName] = useState(team?.name ?? '');
  const [guaranteed, setGuaranteed] = useState((team?.memory_guaranteed_bytes ?? 0) / kGiB);
  const [most, setMost] = useState((team?.memory_max_bytes ?? 0) / kGiB);
  const save = useMutation({
    mutationFn: () => {
      const body = {
        name: name.trim(),
        memory_guaranteed_bytes: Math.round(guaranteed * kGiB),
        memory_max_bytes: Math.round(most * kGiB),
      };
      return team
        ? call<Team>(`/v1/teams/${team.id}`, {
            method: 'PATCH',
            body,
            version: team.resource_version,
          })
        : call<Team>('/v1/teams', { method: 'POST', body, idempotencyKey: key });
    },
    onSuccess: () => {
      void client.invalidateQueries({ queryKey: keys.teams });
      onClose();
    },
  });
  const error = save.error instanceof ApiError ? save.error : null;
  const inField = error?.field('/name') ?? error?.field('/memory_max_bytes');
  return (
    <FormDialog
      title={team ? t('teams.edit', { name: team.name }) : t('teams.add')}
      go={t(team ? 'act.save' : 'users.add_go')}
      onGo={() => save.mutate()}
      onClose={onClose}
      ready={name.trim() !== ''}
      busy={save.isPending}
      error={inField ? null : save.error}
    >
      <TextInput
        label={t('teams.name')}
        value={name}
        onChange={(e) => setName(e.currentTarget.value)}
        error={fieldSaid(error, '/name', words)}
        maxLength={64}
        data-autofocus
      />
      <NumberInput
        label={t('teams.guaranteed')}
        description={t('teams.guaranteed_why')}
        value={guaranteed}
        onChange={(v) => setGuaranteed(Number(v) || 0)}
        min={0}
        max={1_000_000}
        decimalScale={2}
        suffix=" GiB"
      />
      <Checkbox
        label={t('teams.limited')}
        checked={most > 0}
        onChange={(e) => setMost(e.currentTarget.checked ? Math.max(guaranteed, 24) : 0)}
      />
      {most > 0 && (
        <NumberInput
          label={t('teams.limit')}
          description={t('teams.limit_why')}
          value={most}
          onChange={(v) => Number(v) > 0 && setMost(Number(v))}
          min={Math.max(guaranteed, 0.5)}
          max={1_000_000}
          decimalScale={2}
          clampBehavior="blur"
          suffix=" GiB"
          error={fieldSaid(error, '/memory_max_bytes', words)}
        />
      )}
    </FormDialog>
  );
}

function DeleteTeam({ team, onClose }: { team: Team; onClose: () => void }) {
  const { t } = useWords();
  const client = useQueryClient();
  const sayError = useSayError();
  const remove = useMutation({
    mutationFn: () =>
      call<void>(`/v1/teams/${team.id}`, { method: 'DELETE', version: team.resource_version }),
    onSuccess: onClose,
    onError: sayError,
    onSettled: () => client.invalidateQueries({ queryKey: keys.teams }),
  });
  return (
    <Ask
      title={t('users.delete_title', { name: team.name })}
      why={t('teams.delete_why', { name: team.name })}
      label={t('delete.type', { name: team.name })}
      expect={team.name}
      go={t('teams.delete_go')}
      danger
      busy={remove.isPending}
      onClose={onClose}
      onGo={() => remove.mutate()}
    />
  );
}

export function Teams() {
  const { t } = useWords();
  const teams = useTeams();
  const [open, setOpen] = useState<Open | null>(null);
  return (
    <section aria-label={t('teams.title')}>
      <Group justify="space-between" mt="xl" mb="sm">
        <h2>{t('teams.title')}</h2>
        <Button
          variant="default"
          leftSection={<IconPlus size={16} />}
          onClick={() => setOpen({ kind: 'add' })}
        >
          {t('teams.add')}
        </Button>
      </Group>
      <Listed
        query={teams}
        label={t('teams.title')}
        head={[
          t('teams.name'),
          t('teams.members'),
          t('teams.held'),
          t('teams.guaranteed'),
          t('teams.limit'),
          '',
        ]}
        empty={<p className="quiet">{t('teams.none')}</p>}
        row={(team) => (
          <tr key={team.id} tabIndex={0} data-team={team.name}>
            <td>
              <strong>{team.name}</strong>
            </td>
            <td>{team.members}</td>
            <td className="nowrap">{memory(team.memory_held_bytes)}</td>
            <td className="nowrap">{memory(team.memory_guaranteed_bytes)}</td>
            <td className="nowrap">
              {team.memory_max_bytes ? memory(team.memory_max_bytes) : t('teams.no_limit')}
            </td>
            <td>
              <Group gap="xs" justify="flex-end" wrap="nowrap">
                <Button
                  size="compact-sm"
                  variant="default"
                  onClick={() => setOpen({ kind: 'edit', team })}
                >
                  {t('users.edit_go')}
                </Button>
                <Button
                  size="compact-sm"
                  variant="subtle"
                  color="red"
                  onClick={() => setOpen({ kind: 'delete', team })}
                >
                  {t('act.delete')}
                </Button>
              </Group>
            </td>
          </tr>
        )}
      />
      {open?.kind === 'delete' && <DeleteTeam team={open.team} onClose={() => setOpen(null)} />}
      {open && open.kind !== 'delete' && (
        <TeamForm team={open.kind === 'edit' ? open.team : null} onClose={() => setOpen(null)} />
      )}
    </section>
  );
}
