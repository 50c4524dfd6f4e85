/** Imports the library, makes a pipeline and calls it, with the SDK registered at the given moment; prints what it saw. */
export async function story(library, register) {
  const moment = process.env.MOMENT;
  let telemetry = moment === 'before the import' ? await register() : undefined;
  const { pipeline, retry, timeout } = await library();
  if (moment === 'after the import') telemetry = await register();
  const users = pipeline('users', [retry(), timeout(1_000)]);
  const call = () => users.execute(async () => 1);
  if (moment === 'after the first call') {
    await call();
    telemetry = await register();
  }
  for (let calls = 0; calls < 3; calls++) await call();

  const answer = (await telemetry?.()) ?? { spans: [], metrics: [] };
  // Node prints its warnings one turn of the loop later.
  await new Promise((resolve) => setImmediate(resolve));
  console.log(JSON.stringify({ ...answer, heard: globalThis.heard }));
}
