// SPDX-License-Identifier: Apache-2.0
// The portal's things by short names. schema.d.ts is generated from portal/openapi.yaml.
import type { components } from './schema';

type Schemas = components['schemas'];

export type Role = Schemas['Role'];
export type User = Schemas['User'];
export type UserCreated = Schemas['UserCreated'];
export type Quota = Schemas['Quota'];
export type Me = Schemas['Me'];
export type SignedIn = Schemas['SignedIn'];
export type Scope = Schemas['Scope'];
export type Token = Schemas['Token'];
export type TokenCreated = Schemas['TokenCreated'];
export type Template = Schemas['Template'];
export type Offer = Schemas['Offer'];
export type OfferList = Schemas['OfferList'];
export type Desktop = Schemas['Desktop'];
export type DesktopState = Schemas['DesktopState'];
export type DesktopCreate = Schemas['DesktopCreate'];
export type DesktopPatch = Schemas['DesktopPatch'];
export type ShareChange = Schemas['ShareChange'];
export type Stage = Schemas['Stage'];
export type Usage = Schemas['Usage'];
export type Process = Schemas['ProcessList']['items'][number];
export type Gpu = Schemas['Gpu'];
export type GpuShare = Schemas['GpuShare'];
export type Pool = Schemas['Pool'];
export type PoolPatch = Schemas['PoolPatch'];
export type PoolTrial = Schemas['PoolTrial'];
export type PlacementPolicy = Schemas['PlacementPolicy'];
export type Explanation = Schemas['Explanation'];
export type ShareAsked = Schemas['ShareAsked'];
export type Plan = Schemas['Plan'];
export type PlanRun = Schemas['PlanRun'];
export type Team = Schemas['Team'];
export type Reservation = Schemas['Reservation'];
export type ReservationCreate = Schemas['ReservationCreate'];
export type ReservationTrial = Schemas['ReservationTrial'];
export type ConsolidationPlan = Schemas['ConsolidationPlan'];
export type ConsolidationState = Schemas['ConsolidationState'];
export type StartRange = Schemas['StartRange'];
export type QueueItem = Schemas['QueueItem'];
export type Ticket = Schemas['Ticket'];
export type AuditEvent = Schemas['AuditEvent'];
export type Integrity = Schemas['Integrity'];

// What this client reads of a problem document; `code` is open, for a newer server and for the
// client's own "unreachable".
export type Problem = Pick<Schemas['Problem'], 'title' | 'status' | 'detail' | 'errors'> &
  Pick<Schemas['Problem'], 'retry_after_s' | 'alternatives' | 'summary'> & {
    code: string;
    request_id?: string;
  };

export interface Page<T> {
  items: T[];
  next_cursor: string | null;
  resource_version: number;
}
