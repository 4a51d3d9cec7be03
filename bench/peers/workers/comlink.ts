import { parentPort } from 'node:worker_threads'
import { expose } from 'comlink'
import nodeEndpoint from 'comlink/dist/esm/node-adapter.mjs'
import { noop } from './work.js'

if (parentPort !== null) expose({ noop }, nodeEndpoint(parentPort))
