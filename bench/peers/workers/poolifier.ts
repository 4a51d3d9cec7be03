import { ThreadWorker } from 'poolifier'
import { type Call, noop } from './work.js'

export default new ThreadWorker<Call, number>(call => (call === undefined ? 0 : noop(call)))
