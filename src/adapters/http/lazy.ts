/** The ways to a body that nobody has touched; undefined once somebody reads it. */
export interface Ways {
  /** Reads all of it. */
  text(): Promise<string> | undefined;
  /** A response with a stream in its place, for all other uses. */
  dress(): Response | undefined;
}

interface Place {
  readonly ways: Ways;
  /** Who has the body, unless the platform has. */
  dressed: Response | undefined;
}

// Made at the first use: importing this has no effect.
let places: WeakMap<Response, Place> | undefined;
let guarded: object | undefined;

/** The platform's readers as they were then: what is put in their place later is called. */
let platform: Pick<Response, 'json' | 'text'> | undefined;

/** Whether it is the platform's own, with nobody's changes, and may be given another prototype. */
export function isNative(response: Response): boolean {
  const own = globalThis.Response?.prototype;
  if (Object.getPrototypeOf(response) !== own || !Object.isExtensible(response)) return false;
  const { json, text } = (platform ??= { json: own.json, text: own.text });
  return own.json === json && own.text === text;
}

/**
 * Gives a native `response` back, itself, as one whose body is had in one of the `ways`. Most are asked for their text or
 * JSON alone; to read that costs a fraction of a stream around the platform's and a response around the stream.
 */
export function lazily(response: Response, ways: Ways): Response {
  places ??= new WeakMap();
  guarded ??= guard(Response.prototype);
  places.set(response, { ways, dressed: undefined });
  return Object.setPrototypeOf(response, guarded);
}

/** The response that has the body of `response`, where that is another one. */
function standIn(response: Response): Response | undefined {
  const place = places!.get(response);
  return place && (place.dressed ??= place.ways.dress());
}

/** All of a body that nobody has touched. */
function allOf(response: Response): Promise<string> | undefined {
  const place = places!.get(response);
  return place?.dressed === undefined ? place?.ways.text() : undefined;
}

/** What comes before the members of the platform's response. */
function guard(native: Response): object {
  const through = <N extends 'arrayBuffer' | 'blob' | 'bytes' | 'clone' | 'formData' | 'json' | 'text'>(name: N) =>
    function (this: Response): unknown {
      const other = standIn(this);
      return Reflect.apply(other === undefined ? native[name] : other[name], other ?? this, []);
    } as Response[N];
  const [json, text] = [through('json'), through('text')];
  return Object.setPrototypeOf(
    {
      get body() {
        const other = standIn(this as Response);
        return Reflect.get(other ?? native, 'body', other ?? this);
      },
      get bodyUsed() {
        const other = places!.get(this as Response)?.dressed;
        return Reflect.get(other ?? native, 'bodyUsed', other ?? this);
      },
      text(this: Response): Promise<string> {
        return allOf(this) ?? text.call(this);
      },
      json(this: Response): Promise<unknown> {
        return allOf(this)?.then((all) => JSON.parse(all)) ?? json.call(this);
      },
      arrayBuffer: through('arrayBuffer'),
      blob: through('blob'),
      bytes: through('bytes'),
      formData: through('formData'),
      clone: through('clone'),
    },
    native,
  );
}
