/**
 * The Grafana dashboard from the table of `dashboard_rows.ts`; `scripts/manifests.ts` writes it to
 * deploy/observability/dashboard.json. tests/e2e/observability_test.ts asks every query of a real Prometheus.
 */
import { type Panel, type Row, ROWS } from "./dashboard_rows.ts";

const STAT_HEIGHT = 4;
const GRAPH_HEIGHT = 8;
const COLUMNS = 24;
const DATASOURCE = { type: "prometheus", uid: "${datasource}" };

/** A dashboard as Grafana imports it. */
export function dashboard(): unknown {
  return {
    title: "PodConfigMap controller",
    uid: "podconfigmap-controller",
    description:
      "Controller and eBPF agents. docs/operations.md says what to do about what it shows.",
    tags: ["kubernetes", "podconfigmap-controller"],
    schemaVersion: 39,
    version: 1,
    editable: true,
    refresh: "30s",
    time: { from: "now-1h", to: "now" },
    timezone: "browser",
    templating: {
      list: [
        { name: "datasource", type: "datasource", query: "prometheus", label: "Prometheus" },
        labelVariable("namespace", "podconfigmap_controller_active_configmaps"),
        labelVariable("node", 'up{job="podconfigmap-agent-metrics"}'),
      ],
    },
    panels: layOut(ROWS),
  };
}

function labelVariable(label: string, series: string): unknown {
  const query = `label_values(${series}, ${label})`;
  return {
    ...{ name: label, label, type: "query", datasource: DATASOURCE },
    ...{ query: { query, refId: label }, definition: query, refresh: 2, sort: 1 },
    ...{ includeAll: true, multi: true, allValue: ".*", current: { text: "All", value: "$__all" } },
  };
}

/** From left to right, a new line where the width is used up. */
function layOut(rows: readonly Row[]): unknown[] {
  const panels: unknown[] = [];
  let y = 0;
  for (const row of rows) {
    const place = { h: 1, w: COLUMNS, x: 0, y: y++ };
    panels.push({
      ...{ id: panels.length + 1, type: "row", title: row.title, collapsed: false },
      ...{ gridPos: place, panels: [] },
    });
    let [x, tallest] = [0, 0];
    for (const panel of row.panels) {
      const { width = COLUMNS / 3, kind } = panel;
      const height = kind === "stat" || width === 4 ? STAT_HEIGHT : GRAPH_HEIGHT;
      if (x + width > COLUMNS) [x, y, tallest] = [0, y + tallest, 0];
      panels.push(panelJson(panel, panels.length + 1, { h: height, w: width, x, y }));
      x += width;
      tallest = Math.max(tallest, height);
    }
    y += tallest;
  }
  return panels;
}

function panelJson(panel: Panel, id: number, gridPos: Record<string, number>): unknown {
  const { title, description = "", kind = "timeseries", unit = "short", queries } = panel;
  const instant = kind !== "timeseries";
  return {
    ...{ id, type: kind, title, description, gridPos, datasource: DATASOURCE },
    fieldConfig: { defaults: { unit, min: 0 }, overrides: [] },
    options: kind === "timeseries" ? { legend: { displayMode: "list", placement: "bottom" } } : {},
    targets: queries.map(({ expr, legend }, index) => ({
      ...{ refId: String.fromCharCode(65 + index), datasource: DATASOURCE, expr },
      ...{ legendFormat: legend, instant, range: !instant, format: tableOr(kind) },
    })),
  };
}

const tableOr = (kind: string) => kind === "table" ? "table" : "time_series";
