/**
 * Requests and how long they took, for Prometheus.
 *
 * Owned by main. Labels are route patterns, methods and status classes, all out of our own tables, so the number of
 * series is bounded. About a microsecond per request.
 */
import { Counter, Histogram, type Registry } from 'prom-client';

/** Seconds; a list of ten thousand nodes lies in the middle. */
const BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10];

/** What was asked for and is not there; never the path itself, which strangers choose. */
const NO_ROUTE = 'none';

export interface RestMetrics {
  /** `route` is the pattern: `/api/v1/nodes/:id`; undefined where there was none. */
  answered(route: string | undefined, method: string, status: number, seconds: number): void;
}

interface Series {
  inc(): void;
}

export function createRestMetrics(registry: Registry): RestMetrics {
  const requests = new Counter({
    name: 'honeybee_rest_requests_total',
    help: 'REST requests answered, by route, method and class of status.',
    labelNames: ['route', 'method', 'status'],
    registers: [registry],
  });
  const durations = new Histogram({
    name: 'honeybee_rest_request_duration_seconds',
    help: 'Time from a request to the last byte of its answer, by route.',
    labelNames: ['route'],
    buckets: BUCKETS,
    registers: [registry],
  });
  // Bound once: looking labels up costs more than counting.
  const counters = new Map<string, Series>();
  const timers = new Map<string, { observe(seconds: number): void }>();
  return {
    answered(pattern, method, status, seconds) {
      const route = pattern ?? NO_ROUTE;
      const statusClass = `${Math.floor(status / 100)}xx`;
      // Without a route the method is the client's, too.
      const known = pattern === undefined ? NO_ROUTE : method;
      const key = `${route} ${known} ${statusClass}`;
      let counter = counters.get(key);
      if (counter === undefined) {
        counter = requests.labels(route, known, statusClass);
        counters.set(key, counter);
      }
      counter.inc();
      let timer = timers.get(route);
      if (timer === undefined) {
        timer = durations.labels(route);
        timers.set(route, timer);
      }
      timer.observe(seconds);
    },
  };
}
