import { afterEach, describe, expect, it, vi } from 'vitest';
import { warn } from '../../src/ports/report.ts';

afterEach(() => vi.restoreAllMocks());

describe('warn', () => {
  it('tells a message once, as a warning whose detail is the cause', () => {
    const told = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    const cause = new Error('boom');
    warn('report.test: a listener threw', cause);
    warn('report.test: a listener threw', cause);
    expect(told).toHaveBeenCalledTimes(1);
    expect(told.mock.calls[0]![0]).toMatchObject({
      name: 'SeaworthyWarning',
      message: 'report.test: a listener threw',
      cause,
      detail: cause.stack,
    });
  });

  it.each([
    undefined,
    null,
    'text',
    Symbol('s'),
    Object.create(null),
    {
      toString: () => {
        throw new Error('no');
      },
    },
  ])('survives whatever was thrown (%#)', (cause) => {
    vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    expect(() => warn(`report.test: ${Math.random()}`, cause)).not.toThrow();
  });

  it('never throws, not even when nobody can be told', () => {
    vi.spyOn(process, 'emitWarning').mockImplementation(() => {
      throw new Error('no warnings here');
    });
    expect(() => warn('report.test: deaf')).not.toThrow();
  });

  it('uses the console where there is no process', () => {
    const line = vi.spyOn(console, 'warn').mockImplementation(() => {});
    vi.stubGlobal('process', undefined);
    try {
      warn('report.test: browser', 'why');
    } finally {
      vi.unstubAllGlobals();
    }
    expect(line).toHaveBeenCalledWith('report.test: browser', 'why');
  });

  it('remembers a bounded number of messages', () => {
    const told = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    for (let n = 0; n < 1000; n++) warn(`report.test: bounded ${n}`);
    warn('report.test: bounded 0');
    expect(told).toHaveBeenCalledTimes(1001);
  });
});
