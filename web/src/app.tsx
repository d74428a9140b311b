// SPDX-License-Identifier: Apache-2.0
import { useQuery } from '@tanstack/react-query';
import { lazy, Suspense, useEffect } from 'react';
import { Navigate, Outlet, Route, Routes } from 'react-router';
import { useEvents } from './api/events';
import { meQuery } from './api/queries';
import type { Me, Role } from './api/types';
import { LinkContext } from './parts/link';
import { Frame } from './parts/Frame';
import { ErrorLine, Waiting } from './parts/Say';
import { NewPassword } from './pages/NewPassword';
import { SignIn } from './pages/SignIn';

const Desktops = lazy(() => import('./pages/Desktops'));
const NewDesktop = lazy(() => import('./pages/NewDesktop'));
const Launch = lazy(() => import('./pages/Launch'));
const Account = lazy(() => import('./pages/Account'));
const GpuMap = lazy(() => import('./pages/admin/GpuMap'));
const Live = lazy(() => import('./pages/admin/Live'));
const Pools = lazy(() => import('./pages/admin/Pools'));
const Reservations = lazy(() => import('./pages/admin/Reservations'));
const Planner = lazy(() => import('./pages/admin/Planner'));
const Users = lazy(() => import('./pages/admin/Users'));
const Audit = lazy(() => import('./pages/admin/Audit'));
const NotFound = lazy(() => import('./pages/NotFound'));
// Its own piece, with noVNC; the viewer's address loads this and little else.
const Viewer = lazy(() => import('./viewer/Viewer'));

function Guard({ me, least }: { me: Me; least: Role }) {
  const rank: Record<Role, number> = { user: 0, operator: 1, admin: 2 };
  return rank[me.user.role] >= rank[least] ? <Outlet /> : <Navigate to="/" replace />;
}

function Framed() {
  return (
    <Frame>
      <Suspense fallback={<Waiting />}>
        <Outlet />
      </Suspense>
    </Frame>
  );
}

function SignedIn({ me }: { me: Me }) {
  const link = useEvents(me.user.id, me.user.role);
  return (
    <LinkContext value={link}>
      <Suspense fallback={<Waiting />}>
        <Routes>
          <Route path="/desktops/:id/view" element={<Viewer />} />
          <Route element={<Framed />}>
            <Route index element={<Desktops />} />
            <Route path="/desktops/new" element={<NewDesktop />} />
            <Route path="/desktops/:id" element={<Launch />} />
            <Route path="/account" element={<Account />} />
            <Route path="/gpus" element={<GpuMap />} />
            <Route element={<Guard me={me} least="operator" />}>
              <Route path="/live" element={<Live />} />
              <Route path="/audit" element={<Audit />} />
            </Route>
            <Route element={<Guard me={me} least="admin" />}>
              <Route path="/pools" element={<Pools />} />
              <Route path="/reservations" element={<Reservations />} />
              <Route path="/planner" element={<Planner />} />
              <Route path="/users" element={<Users />} />
            </Route>
            <Route path="*" element={<NotFound />} />
          </Route>
        </Routes>
      </Suspense>
    </LinkContext>
  );
}

export function App() {
  const me = useQuery(meQuery);
  useEffect(() => {
    if (window.location.pathname.endsWith('/view')) void import('./viewer/Viewer');
  }, []);
  if (me.isPending) return <Waiting />;
  if (me.isError && !me.data) return <ErrorLine error={me.error} retry={() => void me.refetch()} />;
  if (!me.data) return <SignIn />;
  if (me.data.user.must_change_password) return <NewPassword />;
  return <SignedIn me={me.data} />;
}
