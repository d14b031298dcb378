// Options of fields: the names that Grafana registers for each of its panels, here without their editors.
import {
  applyFieldOverrides,
  type DataFrame,
  FieldConfigOptionsRegistry,
  type FieldConfigSource,
  standardFieldConfigEditorRegistry,
  type GrafanaTheme2,
} from '@grafana/data';
import type { Panel } from './dashboard';

const STANDARD = [
  'unit', 'min', 'max', 'decimals', 'displayName', 'noValue', 'thresholds', 'mappings', 'links', 'actions', 'color',
  'fieldMinMax', 'filterable',
];
const CUSTOM = [
  'align', 'axisBorderShow', 'axisCenteredZero', 'axisColorMode', 'axisLabel', 'axisPlacement', 'axisSoftMax',
  'axisSoftMin', 'barAlignment', 'barWidthFactor', 'cellOptions', 'drawStyle', 'fillBelowTo', 'fillOpacity',
  'gradientMode', 'hideFrom', 'lineInterpolation', 'lineStyle', 'lineWidth', 'pointSize', 'scaleDistribution',
  'showPoints', 'spanNulls', 'stacking', 'thresholdsStyle', 'transform', 'width',
];

const item = (name: string, custom = false): any => ({
  id: custom ? `custom.${name}` : name,
  path: name,
  name,
  isCustom: custom,
  editor: () => null,
  override: () => null,
  process: (value: unknown) => value,
  shouldApply: () => true,
  getItemsCount: () => 0,
});

standardFieldConfigEditorRegistry.setInit(() => STANDARD.map((name) => item(name)));
const registry = new FieldConfigOptionsRegistry(() => [
  ...STANDARD.map((name) => item(name)),
  ...CUSTOM.map((name) => item(name, true)),
]);

/** What Grafana's time series panel takes where the JSON says nothing. */
const OF_TIME_SERIES = {
  drawStyle: 'line',
  lineInterpolation: 'linear',
  lineWidth: 1,
  fillOpacity: 0,
  gradientMode: 'none',
  spanNulls: false,
  insertNulls: false,
  showPoints: 'auto',
  showValues: false,
  pointSize: 5,
  stacking: { mode: 'none', group: 'A' },
  axisPlacement: 'auto',
  axisLabel: '',
  axisColorMode: 'text',
  axisBorderShow: false,
  axisCenteredZero: false,
  scaleDistribution: { type: 'linear' },
  hideFrom: { tooltip: false, viz: false, legend: false },
  thresholdsStyle: { mode: 'off' },
  barAlignment: 0,
  barWidthFactor: 0.6,
};
const THRESHOLDS = { mode: 'absolute', steps: [{ value: -Infinity, color: 'green' }, { value: 80, color: 'red' }] };

/** The panel's settings with Grafana's defaults where it has none. */
export function configOf(panel: Panel): FieldConfigSource {
  const defaults: any = structuredClone(panel.fieldConfig?.defaults ?? {});
  const course = panel.type === 'timeseries';
  defaults.custom = course ? { ...OF_TIME_SERIES, ...defaults.custom } : (defaults.custom ?? {});
  defaults.color ??= { mode: course ? 'palette-classic' : 'thresholds' };
  defaults.thresholds ??= THRESHOLDS;
  const overrides: any[] = structuredClone(panel.fieldConfig?.overrides ?? []);
  const stepped = [defaults.thresholds];
  for (const override of overrides) {
    stepped.push(...override.properties.filter((one: any) => one.id === 'thresholds').map((one: any) => one.value));
  }
  for (const thresholds of stepped) {
    thresholds.steps[0].value ??= -Infinity; // JSON has no infinity
  }
  return { defaults, overrides };
}

export function withConfig(frames: DataFrame[], fieldConfig: FieldConfigSource, theme: GrafanaTheme2): DataFrame[] {
  return applyFieldOverrides({
    data: frames,
    fieldConfig,
    fieldConfigRegistry: registry,
    replaceVariables: (text) => text,
    theme,
    timeZone: 'utc',
  });
}
