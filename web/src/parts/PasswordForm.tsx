// SPDX-License-Identifier: Apache-2.0
import { Button, PasswordInput, Stack } from '@mantine/core';
import { useMutation } from '@tanstack/react-query';
import { useState, type FormEvent } from 'react';
import { ApiError, call } from '../api/client';
import { useWords } from '../i18n';
import { Failure } from './FormDialog';
import { fieldSaid } from './Say';

const kMinLength = 10;

export function PasswordForm(props: { currentLabel: string; onDone: () => void }) {
  const words = useWords();
  const { t } = words;
  const [current, setCurrent] = useState('');
  const [next, setNext] = useState('');
  const [again, setAgain] = useState('');
  const [tried, setTried] = useState(false);
  const change = useMutation({
    mutationFn: () =>
      call('/v1/me', { method: 'PATCH', body: { password: { current, new: next } } }),
    onSuccess: () => {
      setCurrent('');
      setNext('');
      setAgain('');
      setTried(false);
      props.onDone();
    },
  });
  const tooShort = [...next].length < kMinLength;
  const same = next === current && next !== '';
  const differs = next !== again;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    setTried(true);
    if (!tooShort && !differs && !same && current !== '') change.mutate();
  };
  const refused = change.error instanceof ApiError ? change.error : null;
  const nextError =
    tried && tooShort
      ? t('password.too_short', { n: kMinLength })
      : tried && same
        ? t('password.same')
        : (fieldSaid(refused, '/password/new', words) ?? null);
  const toggle = { 'aria-label': t('sign_in.show_password') };
  return (
    <form onSubmit={submit}>
      <Stack gap="sm">
        <Failure error={refused?.field('/password/new') ? null : refused} />
        <PasswordInput
          label={props.currentLabel}
          value={current}
          onChange={(e) => setCurrent(e.currentTarget.value)}
          autoComplete="current-password"
          error={tried && current === '' ? t('say.needed') : null}
          visibilityToggleButtonProps={toggle}
        />
        <PasswordInput
          label={t('password.new')}
          description={t('password.rule', { n: kMinLength })}
          value={next}
          onChange={(e) => setNext(e.currentTarget.value)}
          autoComplete="new-password"
          error={nextError}
          visibilityToggleButtonProps={toggle}
        />
        <PasswordInput
          label={t('password.again')}
          value={again}
          onChange={(e) => setAgain(e.currentTarget.value)}
          autoComplete="new-password"
          error={tried && differs ? t('password.differs') : null}
          visibilityToggleButtonProps={toggle}
        />
        <Button type="submit" loading={change.isPending} mt="xs">
          {t('password.change')}
        </Button>
      </Stack>
    </form>
  );
}
