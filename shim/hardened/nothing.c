// SPDX-License-Identifier: Apache-2.0
// A library needs a source; what matters of these is what they need, and in which order.
typedef int sluice_nothing;
