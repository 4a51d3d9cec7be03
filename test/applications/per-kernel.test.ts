import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { boot } from '../../src/index.js'

const entry = (path: string): string => new URL(`../../src/${path}`, import.meta.url).href
const APPLICATIONS = {
  kmod: 'kmod',
  keys: 'keys',
  uevents: 'uevent',
  cgroups: 'cgroup',
  coredump: 'coredump',
  textsearch: 'textsearch',
  systemCalls: 'system-calls',
  usermodeDrivers: 'usermode-driver',
} as const

test('an attached thread has no applications of its own under the names of the kernel’s', async () => {
  await using kernel = boot({ khelpers: 1 })
  const worker = new Worker(
    `const { workerData: { handle, applications }, parentPort } = require('node:worker_threads')
     import('${entry('index.js')}').then(async ({ attach }) => {
       const kernel = attach(handle)
       const refused = {}
       for (const [name, url] of Object.entries(applications)) {
         try { (await import(url))[name](kernel) } catch ({ code, message }) { refused[name] = code + ' ' + message }
       }
       parentPort.postMessage(refused)
       await kernel.shutdown()
     })`,
    {
      eval: true,
      workerData: {
        handle: kernel.handle,
        applications: Object.fromEntries(
          Object.entries(APPLICATIONS).map(([name, folder]) => [
            name,
            entry(`applications/${folder}/index.js`),
          ]),
        ),
      },
    },
  )
  const [refused] = (await once(worker, 'message')) as [Record<string, string>]
  for (const name of Object.keys(APPLICATIONS)) {
    assert.match(refused[name] ?? '', /^ERR_KHELPER_ATTACHED .*another thread has booted.*socket/, name)
  }
  await once(worker, 'exit')
})
