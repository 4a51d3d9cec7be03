import workerpool from 'workerpool'
import { noop } from './work.js'

workerpool.worker({ noop })
