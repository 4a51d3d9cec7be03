/** An in-thread helper that does nothing: what is left is the dispatch. */
export default (): number => 0
