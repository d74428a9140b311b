// SPDX-License-Identifier: Apache-2.0
import { Alert, Button, PasswordInput, Stack, TextInput } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useEffect, useRef, useState, type FormEvent, type ReactNode } from 'react';
import { call, setCsrfToken } from '../api/client';
import { keys, meQuery } from '../api/queries';
import type { SignedIn } from '../api/types';
import { useWords } from '../i18n';
import { AppearanceButtons, Logo } from '../parts/Frame';
import { explain } from '../parts/Say';

// The small panel in the middle that sign-in and the first password share.
export function Gate({ title, children }: { title: string; children: ReactNode }) {
  useEffect(() => {
    document.title = `${title} · Sluice`;
  }, [title]);
  return (
    <main className="gate">
      <div className="gate-panel panel">
        <div className="gate-name">
          <Logo />
          <span>Sluice</span>
        </div>
        <h1>{title}</h1>
        {children}
      </div>
      <div className="gate-foot">
        <AppearanceButtons />
      </div>
    </main>
  );
}

export function SignIn() {
  const words = useWords();
  const { t } = words;
  const client = useQueryClient();
  const [name, setName] = useState('');
  const [password, setPassword] = useState('');
  const passwordField = useRef<HTMLInputElement>(null);
  const signIn = useMutation({
    mutationFn: () => call<SignedIn>('/v1/sessions', { method: 'POST', body: { name, password } }),
    onSuccess: async (answer) => {
      setCsrfToken(answer.csrf_token);
      client.removeQueries({ predicate: (q) => q.queryKey[0] !== keys.me[0] });
      await client.fetchQuery({ ...meQuery, staleTime: 0 });
    },
    onError: () => {
      setPassword('');
      passwordField.current?.focus();
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (name !== '' && password !== '') signIn.mutate();
  };
  const failure = signIn.error && explain(signIn.error, words);
  return (
    <Gate title={t('sign_in.title')}>
      <form onSubmit={submit}>
        <Stack gap="sm">
          {failure && (
            <Alert color="red" role="alert" title={failure.title}>
              {failure.detail !== failure.title && failure.detail}
            </Alert>
          )}
          <TextInput
            label={t('sign_in.name')}
            value={name}
            onChange={(e) => setName(e.currentTarget.value)}
            autoComplete="username"
            autoCapitalize="none"
            spellCheck={false}
            autoFocus
            required
            withAsterisk={false}
          />
          <PasswordInput
            ref={passwordField}
            label={t('sign_in.password')}
            value={password}
            onChange={(e) => setPassword(e.currentTarget.value)}
            autoComplete="current-password"
            required
            withAsterisk={false}
            visibilityToggleButtonProps={{ 'aria-label': t('sign_in.show_password') }}
          />
          <Button type="submit" loading={signIn.isPending} mt="xs">
            {t('sign_in.go')}
          </Button>
        </Stack>
      </form>
    </Gate>
  );
}
