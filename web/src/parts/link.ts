// SPDX-License-Identifier: Apache-2.0
import { createContext, useContext } from 'react';
import type { Link } from '../api/events';

// Whether what is shown follows the portal right now.
export const LinkContext = createContext<Link>('connecting');
export const useLink = (): Link => useContext(LinkContext);
