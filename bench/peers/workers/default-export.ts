/** For piscina and tinypool. */
export { noop as default } from './work.js'
