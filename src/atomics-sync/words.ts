/**
 * Checks where a structure is put, once, at the door.
 */

const WORD_BYTES = 4

/**
 * A view of `byteLength` bytes of shared memory as 32-bit words.
 * @throws TypeError (ERR_INVALID_ARG_TYPE) unless `buffer` is a SharedArrayBuffer
 * @throws RangeError (ERR_OUT_OF_RANGE) unless the words are aligned and inside of it
 */
export function wordsAt(buffer: SharedArrayBuffer, byteOffset: number, byteLength: number): Int32Array {
  if (!(buffer instanceof SharedArrayBuffer)) {
    throw Object.assign(new TypeError('The "buffer" argument must be an instance of SharedArrayBuffer'), {
      code: 'ERR_INVALID_ARG_TYPE',
    })
  }
  if (!Number.isInteger(byteOffset) || byteOffset < 0 || byteOffset % WORD_BYTES !== 0) {
    throw outOfRange('byteOffset', 'a multiple of 4, at least 0', byteOffset)
  }
  if (byteOffset + byteLength > buffer.byteLength) {
    throw outOfRange('byteOffset', `at most ${buffer.byteLength - byteLength} in this buffer`, byteOffset)
  }
  return new Int32Array(buffer, byteOffset, byteLength / WORD_BYTES)
}

export function outOfRange(name: string, range: string, value: unknown): RangeError {
  return Object.assign(
    new RangeError(`The value of "${name}" is out of range. It must be ${range}. Received ${String(value)}`),
    { code: 'ERR_OUT_OF_RANGE' },
  )
}
