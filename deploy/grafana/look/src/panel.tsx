// One panel: Grafana's frame and, inside, the component that Grafana draws this kind of panel with.
import {
  type DataFrame,
  dateTime,
  type FieldDisplay,
  getDisplayValueAlignmentFactors,
  getFieldDisplayValues,
  standardTransformersRegistry,
  standardTransformers,
  transformDataFrame,
  toDataFrame,
  type TimeRange,
  VizOrientation,
} from '@grafana/data';
import { BarGauge, BigValue, BigValueTextMode, PanelChrome, Table, TimeSeries, useTheme2, VizRepeater } from '@grafana/ui';
import { useEffect, useMemo, useState } from 'react';
import { lastValueFrom } from 'rxjs';
import { filled, type Panel, type Values } from './dashboard';
import { configOf, withConfig } from './fields';
import { Heatmap } from './heatmap';
import { framesOf, type Span } from './prometheus';
import { Text } from './text';

standardTransformersRegistry.setInit(() =>
  [standardTransformers.organizeFieldsTransformer, standardTransformers.renameByRegexTransformer].map((transformation) => ({
    id: transformation.id,
    name: transformation.name,
    transformation: () => Promise.resolve(transformation),
    editor: () => null,
    imageDark: '',
    imageLight: '',
  })),
);

interface Props {
  panel: Panel;
  values: Values;
  span: Span;
  width: number;
  height: number;
  drawn: (panel: Panel, empty: boolean, error: string) => void;
}

export function DashboardPanel({ panel, values, span, width, height, drawn }: Props) {
  const [frames, setFrames] = useState<DataFrame[]>();
  const [error, setError] = useState('');
  useEffect(() => {
    framesOf(panel, values, span)
      .then((found) => lastValueFrom(transformDataFrame(panel.transformations ?? [], found)))
      .catch((reason) => {
        setError(String(reason));
        return [];
      })
      .then(setFrames);
  }, []);
  useEffect(() => {
    if (frames) {
      drawn(panel, panel.type !== 'text' && !frames.some(shown), error);
    }
  }, [frames]);
  const title = filled(panel.title, values);
  return (
    <PanelChrome
      width={width}
      height={height}
      title={title}
      description={filled(panel.description, values)}
      statusMessage={error || undefined}
      padding={panel.type === 'table' ? 'none' : 'md'}
    >
      {(inner, high) =>
        frames && <Body panel={panel} frames={frames} values={values} span={span} width={inner} height={high} />
      }
    </PanelChrome>
  );
}

/** Whether a frame has a value besides the NaN that a tile shows in place of none. */
function shown(frame: DataFrame): boolean {
  return frame.length > 0 && !frame.fields.at(-1)!.values.every((value) => Number.isNaN(value));
}

interface BodyProps {
  panel: Panel;
  frames: DataFrame[];
  values: Values;
  span: Span;
  width: number;
  height: number;
}

function Body({ panel, frames, values, span, width, height }: BodyProps) {
  const theme = useTheme2();
  const fieldConfig = useMemo(() => configOf(panel), [panel]);
  const data = useMemo(() => withConfig(frames, fieldConfig, theme), [frames]);
  const options = panel.options ?? {};
  const range = rangeOf(span);
  if (panel.type === 'text') {
    return <Text content={filled(options.content, values)} />;
  }
  if (panel.type === 'timeseries' || panel.type === 'heatmap') {
    if (data.length === 0) {
      return <div style={{ textAlign: 'center', paddingTop: height / 2 - 10 }}>{fieldConfig.defaults.noValue ?? 'No data'}</div>;
    }
    return panel.type === 'heatmap' ? (
      <Heatmap frames={data} options={options} span={span} theme={theme} width={width} height={height} />
    ) : (
      <TimeSeries
        frames={data}
        width={width}
        height={height}
        timeRange={range}
        timeZone="utc"
        structureRev={1}
        legend={options.legend}
        options={options}
      />
    );
  }
  if (panel.type === 'table') {
    return <Table data={data[0] ?? toDataFrame({ fields: [] })} width={width} height={height} />;
  }
  if (panel.type !== 'stat' && panel.type !== 'bargauge') {
    throw new Error(`panels of type ${panel.type} cannot be drawn yet`);
  }
  const getValues = (): FieldDisplay[] =>
    getFieldDisplayValues({
      data,
      fieldConfig,
      reduceOptions: options.reduceOptions,
      replaceVariables: (text) => text,
      theme,
      timeZone: 'utc',
      sparkline: panel.type === 'stat' && options.graphMode !== 'none',
    });
  const single = getValues().length === 1;
  const repeated = {
    getValues,
    getAlignmentFactors: getDisplayValueAlignmentFactors,
    width,
    height,
    source: data,
    renderCounter: 0,
    orientation: options.orientation === 'auto' ? VizOrientation.Auto : options.orientation,
  };
  if (panel.type === 'stat') {
    return (
      <VizRepeater
        {...repeated}
        autoGrid
        itemSpacing={3}
        renderValue={({ value, orientation: _, ...place }) => (
          <BigValue
            {...place}
            value={value.display}
            sparkline={value.sparkline && { ...value.sparkline, timeRange: range }}
            colorMode={options.colorMode}
            graphMode={options.graphMode}
            justifyMode={options.justifyMode}
            disableWideLayout={!options.wideLayout}
            textMode={options.textMode === 'auto' && single ? BigValueTextMode.Value : options.textMode}
            text={options.text}
            theme={theme}
          />
        )}
      />
    );
  }
  return (
    <VizRepeater
      {...repeated}
      itemSpacing={8}
      minVizWidth={options.minVizWidth}
      minVizHeight={options.minVizHeight}
      maxVizHeight={options.maxVizHeight}
      renderValue={({ value, alignmentFactors, ...place }) => (
        <BarGauge
          {...place}
          value={value.display}
          field={value.field}
          display={value.view?.getFieldDisplayProcessor(value.colIndex!)}
          text={options.text}
          theme={theme}
          itemSpacing={8}
          displayMode={options.displayMode}
          alignmentFactors={place.count > 1 ? alignmentFactors : undefined}
          showUnfilled={options.showUnfilled}
          valueDisplayMode={options.valueMode}
          namePlacement={options.namePlacement}
        />
      )}
    />
  );
}

function rangeOf({ from, to }: Span): TimeRange {
  const ends = { from: dateTime(from * 1000), to: dateTime(to * 1000) };
  return { ...ends, raw: ends };
}
