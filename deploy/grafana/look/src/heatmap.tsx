// Grafana's heatmap panel is not among its libraries on npm. This one follows the panel's settings for buckets over
// time: one row for each bucket, coloured by opacity or by a scheme of d3, as Grafana's own source does.
import { type DataFrame, getValueFormat, formattedValueToString, type GrafanaTheme2 } from '@grafana/data';
import * as schemes from 'd3-scale-chromatic';
import { useEffect, useRef } from 'react';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import type { Span } from './prometheus';

interface Props {
  frames: DataFrame[];
  options: Record<string, any>;
  span: Span;
  theme: GrafanaTheme2;
  width: number;
  height: number;
}

export function Heatmap({ frames, options, span, theme, width, height }: Props) {
  const place = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const plot = new uPlot(settings({ frames, options, span, theme, width, height }), columns(frames), place.current!);
    return () => plot.destroy();
  }, [frames, width, height]);
  return <div ref={place} />;
}

function columns(frames: DataFrame[]): uPlot.AlignedData {
  const times = [...new Set(frames.flatMap((frame) => frame.fields[0].values as number[]))].sort((a, b) => a - b);
  const aligned = frames.map((frame) => {
    const found = new Map((frame.fields[0].values as number[]).map((time, at) => [time, frame.fields[1].values[at]]));
    return times.map((time) => found.get(time) ?? null);
  });
  return [times.map((time) => time / 1000), ...aligned] as uPlot.AlignedData;
}

function settings({ frames, options, span, theme, width, height }: Props): uPlot.Options {
  const unit = getValueFormat(options.yAxis?.unit ?? 'short');
  const label = (frame: DataFrame) => {
    const bound = frame.fields[1].labels?.le ?? '';
    return bound === '+Inf' ? bound : formattedValueToString(unit(Number(bound)));
  };
  const axis = {
    stroke: theme.colors.text.primary,
    font: `12px ${theme.typography.fontFamily}`,
    grid: { show: false },
    ticks: { show: false },
  };
  return {
    width,
    height,
    tzDate: (ts) => uPlot.tzDate(new Date(ts * 1000), 'Etc/UTC'),
    legend: { show: false },
    cursor: { show: false },
    scales: { x: { time: true, range: [span.from, span.to] }, y: { range: [0, frames.length] } },
    series: [{}, ...frames.map(() => ({ show: true, paths: () => null, points: { show: false } }))],
    axes: [
      { ...axis, values: '{HH}:{mm}' },
      {
        ...axis,
        size: 72,
        splits: () => frames.map((_, row) => row + 1), // the upper bound of each bucket, as "le" layout has it
        values: () => frames.map(label),
      },
    ],
    hooks: { draw: [(plot) => cells(plot, frames, options, span, theme)] },
  };
}

function cells(plot: uPlot, frames: DataFrame[], options: Record<string, any>, span: Span, theme: GrafanaTheme2) {
  const color = colors(options.color ?? {}, theme);
  const least = options.filterValues?.le ?? 0;
  const counted = frames.flatMap((frame) => frame.fields[1].values as number[]).filter((value) => value > least);
  const most = Math.max(...counted);
  const gap = (options.cellGap ?? 1) * devicePixelRatio;
  const times = plot.data[0];
  frames.forEach((_, row) => {
    const top = plot.valToPos(row + 1, 'y', true);
    const bottom = plot.valToPos(row, 'y', true);
    times.forEach((time, at) => {
      const value = plot.data[row + 1][at];
      if (value == null || value <= least) {
        return;
      }
      const left = Math.max(plot.bbox.left, plot.valToPos(time - span.step, 'x', true));
      const right = plot.valToPos(time, 'x', true);
      plot.ctx.fillStyle = color(value / most);
      plot.ctx.fillRect(left, top, Math.max(1, right - left - gap), bottom - top - gap);
    });
  });
}

/** The colour of a share of the largest value. */
function colors(options: Record<string, any>, theme: GrafanaTheme2): (share: number) => string {
  if (options.mode === 'opacity') {
    const [red, green, blue] = rgb(theme.visualization.getColorByName(options.fill ?? 'dark-orange'));
    const exponent = options.scale === 'exponential' ? (options.exponent ?? 0.5) : 1;
    return (share) => `rgba(${red}, ${green}, ${blue}, ${share ** exponent})`;
  }
  const scheme = (schemes as unknown as Record<string, (at: number) => string>)[`interpolate${options.scheme}`];
  const inverted = theme.isDark !== Boolean(options.reverse); // sequential schemes of one hue: dark is little, in the dark
  const steps = options.steps ?? 64;
  return (share) => {
    const step = Math.min(steps - 1, Math.floor(share * steps)) / (steps - 1);
    return scheme(inverted ? 1 - step : step);
  };
}

function rgb(hex: string): number[] {
  return [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16));
}
