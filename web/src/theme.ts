// SPDX-License-Identifier: Apache-2.0
// The one theme. Colours live in theme.css as CSS variables: the portal's content security policy
// allows no style elements, so nothing here may make Mantine write one.
import { createTheme, defaultVariantColorsResolver, Modal } from '@mantine/core';

export const theme = createTheme({
  primaryColor: 'cyan',
  primaryShade: { light: 9, dark: 4 },
  defaultRadius: 6,
  fontFamily:
    'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei", sans-serif',
  fontFamilyMonospace: 'ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace',
  respectReducedMotion: true,
  variantColorResolver: (input) => {
    const colors = defaultVariantColorsResolver(input);
    if (input.variant !== 'filled') return colors;
    return { ...colors, color: `var(--sluice-on-${input.color ?? 'cyan'})` };
  },
  components: {
    // Scroll locking writes a style element.
    Modal: Modal.extend({ defaultProps: { lockScroll: false, centered: true } }),
    Tooltip: {
      defaultProps: {
        transitionProps: { duration: 100 },
        events: { hover: true, focus: true, touch: true },
      },
    },
    Badge: { defaultProps: { tt: 'none', fw: 500 } },
    // The placeholder is no menu item, which screen readers stumble over.
    Menu: {
      defaultProps: { transitionProps: { duration: 100 }, withInitialFocusPlaceholder: false },
    },
    Select: {
      defaultProps: { allowDeselect: false, comboboxProps: { transitionProps: { duration: 0 } } },
    },
  },
});
