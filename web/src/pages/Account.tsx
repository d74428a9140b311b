// SPDX-License-Identifier: Apache-2.0
// My account: how the portal looks to me, my password, tokens and sessions.
import {
  ActionIcon,
  Button,
  Checkbox,
  Group,
  SegmentedControl,
  Select,
  Stack,
  Text,
  TextInput,
  useMantineColorScheme,
} from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useState, type FormEvent } from 'react';
import { call, newKey } from '../api/client';
import { keys, useMe, useTokens } from '../api/queries';
import type { Me, Scope, Token, TokenCreated } from '../api/types';
import { fullTime, lengthOfTime, relative } from '../format';
import { useWords, type Language } from '../i18n';
import { FormDialog } from '../parts/FormDialog';
import { useSignOut } from '../parts/Frame';
import { IconPlus, IconTrash } from '../parts/icons';
import { PasswordForm } from '../parts/PasswordForm';
import { Rows } from '../parts/Rows';
import { ErrorLine, PageHead, useSayError } from '../parts/Say';
import { Secret } from '../parts/Secret';

const scopes: Scope[] = ['desktops:read', 'desktops:write', 'gpus:read', 'admin'];
const lifetimes = [86_400, 7 * 86_400, 30 * 86_400, 365 * 86_400];

function Appearance() {
  const { t, chosen, choose } = useWords();
  const { colorScheme, setColorScheme } = useMantineColorScheme();
  return (
    <section className="panel section" aria-label={t('account.appearance')}>
      <h2>{t('account.appearance')}</h2>
      <Select
        label={t('account.language')}
        data={[
          { value: 'auto', label: t('account.language_auto') },
          { value: 'en', label: 'English' },
          { value: 'zh-CN', label: '中文(简体)' },
        ]}
        value={chosen ?? 'auto'}
        onChange={(v) => choose(v === 'auto' || v === null ? null : (v as Language))}
      />
      <div>
        <Text size="sm" fw={600} id="theme-label" mb={4}>
          {t('account.theme')}
        </Text>
        <SegmentedControl
          aria-labelledby="theme-label"
          data={(['auto', 'light', 'dark'] as const).map((v) => ({
            value: v,
            label: t(`theme.${v}`),
          }))}
          value={colorScheme}
          onChange={(v) => setColorScheme(v as 'auto' | 'light' | 'dark')}
        />
      </div>
    </section>
  );
}

function Person({ me }: { me: Me }) {
  const { t } = useWords();
  const client = useQueryClient();
  const sayError = useSayError();
  const [name, setName] = useState(me.user.display_name);
  const save = useMutation({
    mutationFn: () => call<Me>('/v1/me', { method: 'PATCH', body: { display_name: name.trim() } }),
    onSuccess: () => client.invalidateQueries({ queryKey: keys.me }),
    onError: sayError,
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (name.trim() !== '') save.mutate();
  };
  return (
    <section className="panel section" aria-label={t('account.person')}>
      <h2>{t('account.person')}</h2>
      <dl className="facts">
        <dt>{t('sign_in.name')}</dt>
        <dd>{me.user.name}</dd>
        <dt>{t('users.role')}</dt>
        <dd>{t(`role.${me.user.role}`)}</dd>
      </dl>
      <form onSubmit={submit}>
        <Group align="flex-end">
          <TextInput
            label={t('users.display_name')}
            value={name}
            onChange={(e) => setName(e.currentTarget.value)}
            maxLength={200}
            style={{ flex: 1 }}
          />
          <Button
            type="submit"
            variant="default"
            disabled={name.trim() === '' || name === me.user.display_name}
            loading={save.isPending}
          >
            {t('act.save')}
          </Button>
        </Group>
      </form>
    </section>
  );
}

function NewToken({
  admin,
  onClose,
  onMade,
}: {
  admin: boolean;
  onClose: () => void;
  onMade: (made: TokenCreated) => void;
}) {
  const words = useWords();
  const { t } = words;
  const client = useQueryClient();
  const [name, setName] = useState('');
  const [chosen, setChosen] = useState<Scope[]>(['desktops:read']);
  const [lifeS, setLifeS] = useState(30 * 86_400);
  const [key] = useState(newKey);
  const create = useMutation({
    mutationFn: () =>
      call<TokenCreated>('/v1/me/tokens', {
        method: 'POST',
        body: { name: name.trim(), scopes: chosen, expires_in_s: lifeS },
        idempotencyKey: key,
      }),
    onSuccess: (made) => {
      void client.invalidateQueries({ queryKey: keys.tokens });
      onMade(made);
      onClose();
    },
  });
  return (
    <FormDialog
      title={t('token.new')}
      go={t('token.go')}
      onGo={() => create.mutate()}
      onClose={onClose}
      ready={name.trim() !== '' && chosen.length > 0}
      busy={create.isPending}
      error={create.error}
    >
      <TextInput
        label={t('token.name')}
        value={name}
        onChange={(e) => setName(e.currentTarget.value)}
        maxLength={200}
        data-autofocus
      />
      <Checkbox.Group
        label={t('token.scopes')}
        value={chosen}
        onChange={(v) => setChosen(v as Scope[])}
      >
        <Stack gap="xs" mt="xs">
          {scopes
            .filter((scope) => admin || scope !== 'admin')
            .map((scope) => (
              <Checkbox key={scope} value={scope} label={`${t(`scope.${scope}`)} (${scope})`} />
            ))}
        </Stack>
      </Checkbox.Group>
      <Select
        label={t('token.life')}
        data={lifetimes.map((s) => ({ value: String(s), label: lengthOfTime(s, words) }))}
        value={String(lifeS)}
        onChange={(v) => setLifeS(Number(v))}
      />
    </FormDialog>
  );
}

function Tokens({ admin }: { admin: boolean }) {
  const { t, language } = useWords();
  const client = useQueryClient();
  const sayError = useSayError();
  const tokens = useTokens();
  const [adding, setAdding] = useState(false);
  const [made, setMade] = useState<TokenCreated | null>(null);
  const remove = useMutation({
    mutationFn: (token: Token) =>
      call<void>(`/v1/me/tokens/${token.id}`, {
        method: 'DELETE',
        version: token.resource_version,
      }),
    onSuccess: () => client.invalidateQueries({ queryKey: keys.tokens }),
    onError: sayError,
  });
  return (
    <section className="panel section" aria-label={t('token.title')}>
      <div className="card-head">
        <h2>{t('token.title')}</h2>
        <Button
          variant="default"
          size="xs"
          leftSection={<IconPlus size={16} />}
          onClick={() => setAdding(true)}
        >
          {t('token.new')}
        </Button>
      </div>
      <Text size="sm" c="dimmed">
        {t('token.why')}
      </Text>
      {tokens.isError && <ErrorLine error={tokens.error} retry={() => void tokens.refetch()} />}
      {tokens.data && tokens.data.length > 0 && (
        <Rows
          label={t('token.title')}
          head={[t('token.name'), t('token.scopes'), t('token.expires'), t('token.used'), '']}
        >
          {tokens.data.map((token) => (
            <tr key={token.id} tabIndex={0}>
              <td>{token.name}</td>
              <td className="mono">{token.scopes.join(', ')}</td>
              <td className="nowrap" title={fullTime(token.expires_at, language)}>
                {relative(token.expires_at, language)}
              </td>
              <td className="nowrap">
                {token.last_used_at ? relative(token.last_used_at, language) : t('users.never')}
              </td>
              <td>
                <ActionIcon
                  variant="subtle"
                  color="red"
                  aria-label={t('token.delete', { name: token.name })}
                  title={t('token.delete', { name: token.name })}
                  onClick={() => remove.mutate(token)}
                >
                  <IconTrash size={16} />
                </ActionIcon>
              </td>
            </tr>
          ))}
        </Rows>
      )}
      {adding && <NewToken admin={admin} onClose={() => setAdding(false)} onMade={setMade} />}
      {made && (
        <Secret
          title={made.name}
          why={t('token.once')}
          value={made.token}
          onClose={() => setMade(null)}
        />
      )}
    </section>
  );
}

export default function Account() {
  const { t, language } = useWords();
  const me = useMe();
  const signOut = useSignOut();
  if (!me) return null;
  return (
    <>
      <PageHead title={t('nav.account')} />
      <div className="account">
        <div>
          <Person me={me} />
          <Appearance />
          <section className="panel section" aria-label={t('account.sessions')}>
            <h2>{t('account.sessions')}</h2>
            {me.session_expires_at && (
              <Text size="sm">
                {t('account.session_until', { time: fullTime(me.session_expires_at, language) })}
              </Text>
            )}
            <Text size="sm" c="dimmed">
              {t('account.everywhere_why')}
            </Text>
            <Group>
              <Button variant="default" onClick={() => signOut.mutate(false)}>
                {t('nav.sign_out')}
              </Button>
              <Button variant="default" onClick={() => signOut.mutate(true)}>
                {t('account.everywhere')}
              </Button>
            </Group>
            <Text size="xs" c="dimmed">
              {t('account.version', { version: me.version })}
            </Text>
          </section>
        </div>
        <div>
          <section className="panel section" aria-label={t('account.password')}>
            <h2>{t('account.password')}</h2>
            <PasswordForm
              currentLabel={t('password.current')}
              onDone={() => notifications.show({ message: t('password.done') })}
            />
          </section>
        </div>
        <div className="wide">
          <Tokens admin={me.user.role === 'admin'} />
        </div>
      </div>
    </>
  );
}
