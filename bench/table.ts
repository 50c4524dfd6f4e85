/** Tables for a terminal, and the same for a document. */

/** Rows of cells, the first the head; columns are two spaces apart, all but the first flush right. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows
    .map((row) => row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join('  '))
    .join('\n');
}

/** Three digits that matter; `-` for what was not measured. */
export function figure(value: number | undefined): string {
  if (value === undefined) return '-';
  const size = Math.abs(value);
  if (size >= 100) return value.toLocaleString('en', { maximumFractionDigits: 0 });
  return value.toFixed(size >= 10 ? 1 : 2);
}

/** Text with tables in it as Markdown; what is laid out in lines and is no regular table stays as it is. */
export function markdown(text: string): string {
  return text
    .split(/\n\s*\n/)
    .map((block) => {
      const rows = block.split('\n').map((line) => line.trimEnd().split(/ {2,}/));
      const columns = rows[0]!.length;
      if (rows.length < 2) return block;
      if (columns < 2 || rows.some((row) => row.length !== columns)) return `\`\`\`text\n${block}\n\`\`\``;
      const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
      return [line(rows[0]!), `|${'---|'.repeat(columns)}`, ...rows.slice(1).map(line)].join('\n');
    })
    .join('\n\n');
}
