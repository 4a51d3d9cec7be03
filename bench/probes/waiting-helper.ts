/** An in-thread helper that holds its khelper until the process ends. */
export default (): number => {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
  return 0
}
