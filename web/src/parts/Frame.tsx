// SPDX-License-Identifier: Apache-2.0
// The frame round every page but the viewer: name, places, appearance, account.
import { ActionIcon, Badge, Button, Menu, Text, useMantineColorScheme } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useEffect, type ReactNode } from 'react';
import { Link, NavLink, useLocation, useNavigate } from 'react-router';
import { call, setCsrfToken } from '../api/client';
import { keys, useMe } from '../api/queries';
import { useWords, type Key } from '../i18n';
import {
  IconChevronDown,
  IconLanguage,
  IconLogout,
  IconMoon,
  IconSun,
  IconSunMoon,
  IconUser,
  IconWifiOff,
} from './icons';
import { useLink } from './link';

const places: { to: string; key: Key; roles: string[] }[] = [
  { to: '/', key: 'nav.desktops', roles: ['user', 'operator', 'admin'] },
  { to: '/gpus', key: 'nav.gpus', roles: ['user', 'operator', 'admin'] },
  { to: '/live', key: 'nav.live', roles: ['operator', 'admin'] },
  { to: '/pools', key: 'nav.pools', roles: ['admin'] },
  { to: '/reservations', key: 'nav.reservations', roles: ['admin'] },
  { to: '/planner', key: 'nav.planner', roles: ['admin'] },
  { to: '/users', key: 'nav.users', roles: ['admin'] },
  { to: '/audit', key: 'nav.audit', roles: ['operator', 'admin'] },
];

export function Logo() {
  return (
    <span className="logo" aria-hidden="true">
      <i />
      <i />
      <i />
    </span>
  );
}

export function AppearanceButtons() {
  const { t, language, choose } = useWords();
  const { colorScheme, setColorScheme } = useMantineColorScheme();
  const next = { auto: 'light', light: 'dark', dark: 'auto' } as const;
  const picture = {
    auto: <IconSunMoon size={18} />,
    light: <IconSun size={18} />,
    dark: <IconMoon size={18} />,
  };
  return (
    <>
      <ActionIcon
        variant="subtle"
        color="gray"
        size="lg"
        aria-label={t(`theme.label.${colorScheme}`)}
        title={t(`theme.label.${colorScheme}`)}
        onClick={() => setColorScheme(next[colorScheme])}
      >
        {picture[colorScheme]}
      </ActionIcon>
      <Button
        variant="subtle"
        color="gray"
        size="compact-md"
        leftSection={<IconLanguage size={18} />}
        lang={language === 'en' ? 'zh-CN' : 'en'}
        onClick={() => choose(language === 'en' ? 'zh-CN' : 'en')}
      >
        {language === 'en' ? '中文' : 'English'}
      </Button>
    </>
  );
}

export function useSignOut() {
  const client = useQueryClient();
  const navigate = useNavigate();
  return useMutation({
    mutationFn: (everywhere: boolean) =>
      call<void>(everywhere ? '/v1/sessions' : '/v1/sessions/current', { method: 'DELETE' }),
    onSettled: () => {
      setCsrfToken('');
      void navigate('/');
      client.clear();
      client.setQueryData(keys.me, null);
    },
  });
}

function AccountMenu() {
  const { t } = useWords();
  const me = useMe();
  const signOut = useSignOut();
  if (!me) return null;
  return (
    <Menu position="bottom-end">
      <Menu.Target>
        <Button
          variant="subtle"
          color="gray"
          size="compact-md"
          leftSection={<IconUser size={18} />}
          rightSection={<IconChevronDown size={14} />}
        >
          {me.user.display_name || me.user.name}
        </Button>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label>{`${me.user.name} · ${t(`role.${me.user.role}`)}`}</Menu.Label>
        <Menu.Item component={Link} to="/account" leftSection={<IconUser size={16} />}>
          {t('nav.account')}
        </Menu.Item>
        <Menu.Item leftSection={<IconLogout size={16} />} onClick={() => signOut.mutate(false)}>
          {t('nav.sign_out')}
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}

export function Frame({ children }: { children: ReactNode }) {
  const { t } = useWords();
  const me = useMe();
  const link = useLink();
  const { pathname } = useLocation();
  const here = places.find((p) => p.to === pathname);
  useEffect(() => {
    document.title = here ? `${t(here.key)} · Sluice` : 'Sluice';
  }, [here, t]);
  return (
    <>
      <a className="skip" href="#main">
        {t('nav.skip')}
      </a>
      <header className="frame-head">
        <Link to="/" className="frame-name">
          <Logo />
          Sluice
        </Link>
        <nav aria-label={t('nav.label')}>
          {places
            .filter((p) => me && p.roles.includes(me.user.role))
            .map((p) => (
              <NavLink key={p.to} to={p.to} end>
                {t(p.key)}
              </NavLink>
            ))}
        </nav>
        <div className="frame-right">
          {me?.simulated && (
            <Badge
              variant="outline"
              color="gray"
              className="simulated-badge"
              title={t('simulated.why')}
            >
              {t('simulated.cards')}
            </Badge>
          )}
          {link === 'lost' && (
            <Text size="sm" c="var(--sluice-trouble-text)" role="status" className="with-icon">
              <IconWifiOff size={16} />
              {t('say.link_lost')}
            </Text>
          )}
          <AppearanceButtons />
          <AccountMenu />
        </div>
      </header>
      <main id="main" tabIndex={-1}>
        {children}
      </main>
    </>
  );
}
