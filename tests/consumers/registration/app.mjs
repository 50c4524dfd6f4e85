import { story } from './story.mjs';

await story(
  () => import('seaworthy'),
  async () => (globalThis.register ?? (await import('./register.mjs')).register)(),
);
