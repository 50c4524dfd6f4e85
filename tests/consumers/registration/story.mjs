/** Calls that are made in each of the story's parts. */
const calls = 3;

/**
 * Imports the library, makes a pipeline and calls it, with the SDK registered at the given moment; takes that away, calls
 * once more, and goes on with a second SDK and a third. Prints what each of them got to know, and the second's part of
 * the story from the first's point of view.
 */
export async function story(library, register) {
  const moment = process.env.MOMENT;
  let sdk = moment === 'before the import' ? await register() : undefined;
  const { pipeline, retry, timeout } = await library();
  if (moment === 'after the import') sdk = await register();
  const users = pipeline('users', [retry(), timeout(1_000)]);
  const call = (times) =>
    Array.from({ length: times }).reduce((before) => before.then(() => users.execute(() => 1)), Promise.resolve());
  if (moment === 'after the first call') {
    await call(1);
    sdk = await register();
  }
  await call(calls);

  const told = {};
  if (sdk !== undefined) {
    told.first = await sdk.read();
    sdk.forget();
    await call(1);
    const second = await register();
    await call(calls);
    told.second = await second.read();
    told.firstLater = await sdk.read();
    await second.shutdown();
    second.forget();
    const third = await register();
    await call(calls);
    told.third = await third.read();
    told.secondLater = second.spans();
  }
  // Node prints its warnings one turn of the loop later.
  await new Promise((resolve) => setImmediate(resolve));
  const { MOMENT, SIGNALS } = process.env;
  console.log(JSON.stringify({ moment: MOMENT, signals: SIGNALS, ...told, heard: globalThis.heard }));
}
