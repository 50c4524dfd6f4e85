/**
 * The body of a `Request` with all that was read of it, up to a limit. The request itself is read here while a clone of it
 * is sent, so both keep their length and type; past the limit the reading ends, and with it what a clone would hold back.
 */
export class Recording {
  private readonly request: Request;
  private readonly limit: number;
  private chunks: Uint8Array<ArrayBuffer>[] = [];
  private reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  private whole: Blob | undefined;

  constructor(request: Request, limit: number) {
    this.request = request;
    this.limit = limit;
  }

  /** Whether the body was read to its end within the limit. */
  get complete(): boolean {
    return this.whole !== undefined;
  }

  /** All of it, once it is complete. */
  get body(): Blob | null {
    return this.whole ?? null;
  }

  /** A clone to send, while the original is recorded. */
  start(): Request {
    const clone = this.request.clone();
    this.reader = this.request.body!.getReader();
    this.read(this.reader).catch(() => this.stop());
    return clone;
  }

  /** Reads no further; what is complete stays so. */
  stop(): void {
    const { reader } = this;
    this.reader = undefined;
    this.chunks = [];
    // The sending clone has its own half: this one must not hold chunks back for nobody.
    reader?.cancel().catch(() => {});
  }

  private async read(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
    for (let size = 0; this.reader !== undefined; ) {
      const { done, value } = await reader.read();
      if (done) {
        if (this.reader !== undefined) this.whole = new Blob(this.chunks);
        return this.stop();
      }
      size += value.byteLength;
      if (size > this.limit) return this.stop();
      this.chunks.push(value as Uint8Array<ArrayBuffer>);
    }
  }
}
