/** How far it has come, on one line that is written over; nothing where nobody looks. */
export function progressBar(out: {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}) {
  const put = (text: string) => out.isTTY && out.write(`\r\u001b[2K${text}`);
  return {
    show(part: string, done: number, total: number, what: string): void {
      const share = total > 0 ? Math.min(1, done / total) : 1;
      const bar = '█'.repeat(Math.round(share * 24)).padEnd(24, '░');
      put(`${part} ${bar} ${done}/${total} ${what}`.slice(0, (out.columns ?? 80) - 1));
    },
    clear: (): void => void put(''),
  };
}
