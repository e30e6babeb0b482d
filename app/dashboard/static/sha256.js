// SHA-256 of bytes that come piece by piece (FIPS 180-4). The browser's own digest wants all of them at once, and only over https.
const FRACTION = 2 ** 32;

// Fractional bits of the square and cube roots of the first primes.
function constants(count, power) {
  const found = [];
  for (let candidate = 2; found.length < count; candidate++) {
    let isPrime = true;
    for (let divisor = 2; divisor * divisor <= candidate; divisor++) {
      isPrime &&= candidate % divisor !== 0;
    }
    if (isPrime) {
      found.push(((candidate ** power % 1) * FRACTION) | 0);
    }
  }
  return found;
}

const START = constants(8, 1 / 2);
const ROUNDS = Int32Array.from(constants(64, 1 / 3));

export class Sha256 {
  #state = Int32Array.from(START);
  #words = new Int32Array(64);
  #rest = new Uint8Array(64);
  #numRest = 0;
  #numBytes = 0;

  update(bytes) {
    this.#numBytes += bytes.length;
    let at = 0;
    if (this.#numRest) {
      at = Math.min(64 - this.#numRest, bytes.length);
      this.#rest.set(bytes.subarray(0, at), this.#numRest);
      this.#numRest += at;
      if (this.#numRest < 64) {
        return this;
      }
      this.#mix(this.#rest, 0, 64);
    }
    const end = at + ((bytes.length - at) & ~63);
    this.#mix(bytes, at, end);
    this.#rest.set(bytes.subarray(end), 0);
    this.#numRest = bytes.length - end;
    return this;
  }

  // Ends it: nothing can be added afterwards.
  hex() {
    const numBytes = this.#numBytes;
    const padding = new Uint8Array(((this.#numRest < 56 ? 64 : 128) - this.#numRest));
    const view = new DataView(padding.buffer);
    padding[0] = 0x80;
    view.setUint32(padding.length - 8, Math.floor(numBytes / 2 ** 29));
    view.setUint32(padding.length - 4, numBytes << 3);
    this.update(padding);
    return Array.from(this.#state, (word) => (word >>> 0).toString(16).padStart(8, "0")).join("");
  }

  #mix(bytes, start, end) {
    const words = this.#words;
    const state = this.#state;
    let [h0, h1, h2, h3, h4, h5, h6, h7] = state;
    for (let at = start; at < end; at += 64) {
      for (let i = 0, j = at; i < 16; i++, j += 4) {
        words[i] = (bytes[j] << 24) | (bytes[j + 1] << 16) | (bytes[j + 2] << 8) | bytes[j + 3];
      }
      for (let i = 16; i < 64; i++) {
        const x = words[i - 15];
        const y = words[i - 2];
        const small = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
        const large = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
        words[i] = (words[i - 16] + small + words[i - 7] + large) | 0;
      }
      let a = h0, b = h1, c = h2, d = h3, e = h4, f = h5, g = h6, h = h7;
      for (let i = 0; i < 64; i++) {
        const turnedE = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
        const first = (h + turnedE + ((e & f) ^ (~e & g)) + ROUNDS[i] + words[i]) | 0;
        const turnedA = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
        const second = (turnedA + ((a & b) ^ (a & c) ^ (b & c))) | 0;
        h = g, g = f, f = e, e = (d + first) | 0;
        d = c, c = b, b = a, a = (first + second) | 0;
      }
      h0 = (h0 + a) | 0, h1 = (h1 + b) | 0, h2 = (h2 + c) | 0, h3 = (h3 + d) | 0;
      h4 = (h4 + e) | 0, h5 = (h5 + f) | 0, h6 = (h6 + g) | 0, h7 = (h7 + h) | 0;
    }
    state.set([h0, h1, h2, h3, h4, h5, h6, h7]);
  }
}
