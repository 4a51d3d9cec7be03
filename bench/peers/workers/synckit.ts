import { runAsWorker } from 'synckit'
import { noop } from './work.js'

runAsWorker(noop)
