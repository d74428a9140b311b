// SPDX-License-Identifier: Apache-2.0
import { ActionIcon, Badge, Button, Menu, NumberInput, Select, TextInput } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { ApiError, call, newKey } from '../../api/client';
import { keys, useMe, useTeams, useUsers } from '../../api/queries';
import type { Quota, Role, User, UserCreated } from '../../api/types';
import { kGiB, memory, relative } from '../../format';
import { useWords } from '../../i18n';
import { Ask } from '../../parts/Ask';
import { FormDialog } from '../../parts/FormDialog';
import { IconDots, IconPlus } from '../../parts/icons';
import { Listed } from '../../parts/Listed';
import { useNow } from '../../parts/now';
import { fieldSaid, PageHead, useSayError } from '../../parts/Say';
import { Secret } from '../../parts/Secret';
import { Teams } from './Teams';

const roles: Role[] = ['user', 'operator', 'admin'];

// What to change of a user; the fields of the form for a new one as well.
interface Fields {
  name: string;
  displayName: string;
  role: Role;
  desktopsMax: number;
  memoryMaxGib: number;
  // '' is none.
  teamId: string;
}

function UserForm(props: {
  user: User | null;
  onClose: () => void;
  onPassword: (secret: { name: string; password: string }) => void;
}) {
  const words = useWords();
  const { t } = words;
  const client = useQueryClient();
  const { user } = props;
  const [key] = useState(newKey);
  const [fields, setFields] = useState<Fields>({
    name: user?.name ?? '',
    displayName: user?.display_name ?? '',
    role: user?.role ?? 'user',
    desktopsMax: user?.quota.desktops_max ?? 5,
    memoryMaxGib: Math.round((user?.quota.gpu_memory_max_bytes ?? 24 * kGiB) / kGiB),
    teamId: user?.team_id ?? '',
  });
  const teams = useTeams();
  const set = (part: Partial<Fields>) => setFields((old) => ({ ...old, ...part }));
  const save = useMutation({
    mutationFn: async (): Promise<User | UserCreated> => {
      const body = {
        ...(fields.displayName.trim() && { display_name: fields.displayName.trim() }),
        role: fields.role,
        quota: {
          desktops_max: fields.desktopsMax,
          gpu_memory_max_bytes: fields.memoryMaxGib * kGiB,
        },
        team_id: fields.teamId || null,
      };
      return user
        ? call<User>(`/v1/users/${user.id}`, {
            method: 'PATCH',
            body,
            version: user.resource_version,
          })
        : call<UserCreated>('/v1/users', {
            method: 'POST',
            body: { name: fields.name, ...body },
            idempotencyKey: key,
          });
    },
    onSuccess: (saved) => {
      void client.invalidateQueries({ queryKey: keys.users });
      void client.invalidateQueries({ queryKey: keys.teams });
      if ('one_time_password' in saved) {
        props.onPassword({ name: saved.name, password: saved.one_time_password });
      }
      props.onClose();
    },
  });
  const error = save.error instanceof ApiError ? save.error : null;
  const nameFits = /^[a-z][a-z0-9._-]{0,31}$/.test(fields.name);
  return (
    <FormDialog
      title={user ? t('users.edit', { name: user.name }) : t('users.add')}
      go={t(user ? 'act.save' : 'users.add_go')}
      onGo={() => save.mutate()}
      onClose={props.onClose}
      ready={user !== null || nameFits}
      busy={save.isPending}
      error={error?.field('/name') ? null : save.error}
    >
      {!user && (
        <TextInput
          label={t('sign_in.name')}
          description={t('users.name_rule')}
          value={fields.name}
          onChange={(e) => set({ name: e.currentTarget.value })}
          error={
            fieldSaid(error, '/name', words) ??
            (fields.name !== '' && !nameFits ? t('users.name_rule') : null)
          }
          maxLength={32}
          autoComplete="off"
          data-autofocus
        />
      )}
      <TextInput
        label={t('users.display_name')}
        value={fields.displayName}
        onChange={(e) => set({ displayName: e.currentTarget.value })}
        maxLength={200}
      />
      <Select
        label={t('users.role')}
        description={t(`users.role_why.${fields.role}`)}
        data={roles.map((role) => ({ value: role, label: t(`role.${role}`) }))}
        value={fields.role}
        onChange={(role) => role && set({ role: role as Role })}
      />
      {teams.data && teams.data.length > 0 && (
        <Select
          label={t('users.team')}
          description={t('users.team_why')}
          data={[
            { value: '', label: t('users.no_team') },
            ...teams.data.map((team) => ({ value: team.id, label: team.name })),
          ]}
          value={fields.teamId}
          onChange={(teamId) => set({ teamId: teamId ?? '' })}
        />
      )}
      <NumberInput
        label={t('users.desktops_max')}
        description={t('users.zero')}
        value={fields.desktopsMax}
        onChange={(v) => set({ desktopsMax: Number(v) || 0 })}
        min={0}
        max={100_000}
        allowDecimal={false}
      />
      <NumberInput
        label={t('users.memory_max')}
        description={t('users.zero')}
        value={fields.memoryMaxGib}
        onChange={(v) => set({ memoryMaxGib: Number(v) || 0 })}
        min={0}
        max={1_000_000}
        allowDecimal={false}
        suffix=" GiB"
      />
    </FormDialog>
  );
}

function UserMenu(props: {
  user: User;
  self: boolean;
  onEdit: () => void;
  onReset: () => void;
  onDelete: () => void;
}) {
  const { t } = useWords();
  const client = useQueryClient();
  const sayError = useSayError();
  const { user } = props;
  const able = useMutation({
    mutationFn: (disabled: boolean) =>
      call<User>(`/v1/users/${user.id}`, {
        method: 'PATCH',
        body: { disabled },
        version: user.resource_version,
      }),
    onError: sayError,
    onSettled: () => client.invalidateQueries({ queryKey: keys.users }),
  });
  return (
    <Menu position="bottom-end">
      <Menu.Target>
        <ActionIcon
          variant="subtle"
          color="gray"
          aria-label={t('desktop.more', { name: user.name })}
        >
          <IconDots size={18} />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Item onClick={props.onEdit}>{t('users.edit_go')}</Menu.Item>
        <Menu.Item onClick={props.onReset}>{t('users.reset')}</Menu.Item>
        <Menu.Item onClick={() => able.mutate(!user.disabled)}>
          {t(user.disabled ? 'users.enable' : 'users.disable')}
        </Menu.Item>
        {!props.self && (
          <Menu.Item color="red" onClick={props.onDelete}>
            {t('act.delete')}
          </Menu.Item>
        )}
      </Menu.Dropdown>
    </Menu>
  );
}

function QuotaWords({ quota }: { quota: Quota }) {
  const { t, tn } = useWords();
  const desktops = quota.desktops_max
    ? tn('users.desktops', quota.desktops_max)
    : t('users.desktops_any');
  const memoryMax = quota.gpu_memory_max_bytes
    ? memory(quota.gpu_memory_max_bytes)
    : t('users.memory_any');
  return `${desktops} · ${memoryMax}`;
}

type Open = { kind: 'add' } | { kind: 'edit' | 'delete' | 'reset'; user: User };

function Dialog({
  open,
  onClose,
  onPassword,
}: {
  open: Open;
  onClose: () => void;
  onPassword: (secret: { name: string; password: string }) => void;
}) {
  const { t } = useWords();
  const client = useQueryClient();
  const sayError = useSayError();
  const user = open.kind === 'add' ? null : open.user;
  const refresh = () => client.invalidateQueries({ queryKey: keys.users });
  const reset = useMutation({
    mutationFn: (u: User) =>
      call<{ one_time_password: string }>(`/v1/users/${u.id}/reset-password`, { method: 'POST' }),
    onSuccess: (answer, u) => {
      void refresh();
      onPassword({ name: u.name, password: answer.one_time_password });
      onClose();
    },
    onError: sayError,
  });
  const remove = useMutation({
    mutationFn: (u: User) =>
      call<void>(`/v1/users/${u.id}`, { method: 'DELETE', version: u.resource_version }),
    onSuccess: () => {
      void refresh();
      onClose();
    },
    onError: sayError,
  });
  if (open.kind === 'add' || open.kind === 'edit') {
    return <UserForm user={user} onClose={onClose} onPassword={onPassword} />;
  }
  const deleting = open.kind === 'delete';
  return (
    <Ask
      title={t(deleting ? 'users.delete_title' : 'users.reset_title', { name: open.user.name })}
      why={t(deleting ? 'users.delete_why' : 'users.reset_why', { name: open.user.name })}
      label={t('delete.type', { name: open.user.name })}
      expect={open.user.name}
      go={t(deleting ? 'users.delete_go' : 'users.reset_go')}
      danger={deleting}
      busy={reset.isPending || remove.isPending}
      onClose={onClose}
      onGo={() => (deleting ? remove : reset).mutate(open.user)}
    />
  );
}

export default function Users() {
  const { t, language } = useWords();
  const me = useMe();
  const users = useUsers();
  const teams = useTeams();
  const now = useNow(30_000);
  const [open, setOpen] = useState<Open | null>(null);
  const [secret, setSecret] = useState<{ name: string; password: string } | null>(null);
  return (
    <>
      <PageHead title={t('nav.users')}>
        <Button leftSection={<IconPlus size={16} />} onClick={() => setOpen({ kind: 'add' })}>
          {t('users.add')}
        </Button>
      </PageHead>
      <Listed
        query={users}
        label={t('nav.users')}
        head={[
          t('sign_in.name'),
          t('users.display_name'),
          t('users.role'),
          t('users.team'),
          t('users.quota'),
          t('users.last'),
          t('live.state'),
          '',
        ]}
        row={(user) => (
          <tr key={user.id} tabIndex={0} data-user={user.name}>
            <td>
              <strong>{user.name}</strong>
            </td>
            <td>{user.display_name}</td>
            <td>{t(`role.${user.role}`)}</td>
            <td className="nowrap">
              {teams.data?.find((team) => team.id === user.team_id)?.name ?? ''}
            </td>
            <td className="nowrap">
              <QuotaWords quota={user.quota} />
            </td>
            <td className="nowrap">
              {user.last_sign_in_at
                ? relative(user.last_sign_in_at, language, now)
                : t('users.never')}
            </td>
            <td className="nowrap">
              {user.disabled && (
                <Badge color="gray" variant="light">
                  {t('users.disabled')}
                </Badge>
              )}
              {user.must_change_password && !user.disabled && (
                <Badge color="yellow" variant="light">
                  {t('users.one_time')}
                </Badge>
              )}
            </td>
            <td>
              <UserMenu
                user={user}
                self={user.id === me?.user.id}
                onEdit={() => setOpen({ kind: 'edit', user })}
                onReset={() => setOpen({ kind: 'reset', user })}
                onDelete={() => setOpen({ kind: 'delete', user })}
              />
            </td>
          </tr>
        )}
      />
      <Teams />
      {open && <Dialog open={open} onClose={() => setOpen(null)} onPassword={setSecret} />}
      {secret && (
        <Secret
          title={t('users.password_title', { name: secret.name })}
          why={t('users.password_why')}
          value={secret.password}
          onClose={() => setSecret(null)}
        />
      )}
    </>
  );
}
