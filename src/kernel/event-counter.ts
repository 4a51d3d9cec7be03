/** What is written to an eventfd to wake its reader: the number one, in 64 bits. */
export const ONE: Uint8Array = new Uint8Array(new BigUint64Array([1n]).buffer)
