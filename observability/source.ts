/**
 * What is shipped is written from here, by `npm run observability`: panels, recording rules, alerts and the cases that
 * promtool tries them by.
 */
export { ALERTS, type Alert, RECORDED, type Recorded, runbook } from './alerts.ts';
export { CASES, type Case } from './cases.ts';
export { CHOICES, OPENINGS, type Panel, ROWS, STATES } from './panels.ts';
export { type Asked, asked, prometheusName, Series, type Suffix } from './series.ts';
