/**
 * How a process ends that has a kernel.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { eventually } from '../helpers/resources.js'
import { inThreadHelper, temporary, write } from '../helpers/temporary.js'

const INDEX = new URL('../../src/index.js', import.meta.url).href
/** An end that takes longer hangs; a prompt one is told by the order of things, not by the clock. */
const HANGS_MS = 20_000

async function end(name: string, source: string) {
  const file = write(`${name}.mjs`, `import { boot, UMH_NO_WAIT, UMH_WAIT_EXEC } from '${INDEX}'\n${source}`)
  const child = spawn(process.execPath, [file], { timeout: HANGS_MS, killSignal: 'SIGKILL' })
  let stderr = ''
  child.stderr.on('data', chunk => {
    stderr += chunk
  })
  child.stdout.resume()
  const [code, signal] = await once(child, 'close')
  return { code, signal, stderr }
}

const endless = inThreadHelper('export default () => { for (;;); }')
/** Helpers go on when their service ends: these not for long. */
const inFlight = `
  const all = Array.from({ length: 20 }, () => kernel.run('sleep', ['20'], { stdout: 'ignore', stderr: 'ignore' }))
  all.push(kernel.run('${endless}'), kernel.run('${endless}'))
  for (const helper of all) helper.catch(() => {})
  all[0].pid`

for (const launcher of ['posix_spawn', 'child_process']) {
  test(`launcher ${launcher}: a script that boots and falls off its end exits by itself`, async () => {
    assert.equal((await end('idle', `boot({ launcher: '${launcher}' })`)).code, 0)
  })

  test(`launcher ${launcher}: calls in flight keep the process; when they have ended it exits by itself`, async () => {
    const path = temporary(`kept-${launcher}`)
    const script = `const kernel = boot({ launcher: '${launcher}' })
      kernel.run('sh', ['-c', 'sleep 0.3; echo done > ${path}'])`
    assert.equal((await end('kept', script)).code, 0)
    assert.equal(readFileSync(path, 'utf8'), 'done\n')
  })

  test(`launcher ${launcher}: a helper that is not waited for is started all the same`, async () => {
    const path = temporary(`no-wait-${launcher}`)
    const script = `const kernel = boot({ launcher: '${launcher}' })
      kernel.callUsermodehelper('/bin/sh', ['sh', '-c', 'echo done > ${path}'], [], UMH_NO_WAIT)`
    assert.equal((await end('no-wait', script)).code, 0)
    await eventually('it has run', () => readable(path))
  })

  test(`launcher ${launcher}: the output of helpers that are not waited for keeps the process`, async () => {
    const script = `import { text } from 'node:stream/consumers'
      const kernel = boot({ launcher: '${launcher}', khelpers: 1 })
      const options = { stdout: 'pipe', stderr: 'ignore', wait: UMH_WAIT_EXEC }
      for (let count = 0; count < 60; count += 1) {
        const helper = kernel.run('/bin/echo', ['out'], options)
        await helper
        if (await text(helper.stdout) !== 'out\\n') throw new Error('no output')
      }`
    assert.equal((await end('output', script)).code, 0)
  })

  test(`launcher ${launcher}: a pipe of a helper that is not waited for and cannot be started keeps no process`, async () => {
    const script = `const kernel = boot({ launcher: '${launcher}' })
      kernel.run('/no/such/program', [], { stdin: 'pipe', stdout: 'pipe', wait: UMH_NO_WAIT })`
    assert.equal((await end('abandoned', script)).code, 0)
  })

  test(`launcher ${launcher}: helpers that leave without having read their input end no process`, async () => {
    const script = `const kernel = boot({ launcher: '${launcher}' })
      const runs = Array.from({ length: 20 }, () => kernel.run('true', [], { stdin: 'pipe' }))
      for (const { stdin } of runs) stdin.on('error', () => {}).end('x'.repeat(30_000))
      await Promise.all(runs)
      await kernel.shutdown()`
    const { code, stderr } = await end('unread', script)
    assert.deepEqual([code, stderr], [0, ''])
  })

  test(`launcher ${launcher}: process.exit with helpers in flight`, async () => {
    const script = `const kernel = boot({ launcher: '${launcher}' }); ${inFlight}; process.exit(3)`
    assert.equal((await end('exit', script)).code, 3)
  })

  test(`launcher ${launcher}: an uncaught exception with helpers in flight`, async () => {
    const script = `const kernel = boot({ launcher: '${launcher}' }); ${inFlight}; throw new Error('uncaught')`
    const { code, stderr } = await end('uncaught', script)
    assert.equal(code, 1)
    assert.match(stderr, /Error: uncaught/)
  })
}

test('process.exit takes less than 200 ms with helpers in flight', async t => {
  const script = `const kernel = boot(); ${inFlight}
    setTimeout(() => { process.stdout.write('now'); process.exit() }, 200)`
  const file = write('prompt.mjs', `import { boot } from '${INDEX}'\n${script}`)
  const child = spawn(process.execPath, [file], { timeout: HANGS_MS, killSignal: 'SIGKILL' })
  await once(child.stdout, 'data')
  const asked = performance.now()
  const [code] = await once(child, 'exit')
  assert.equal(code, 0)
  // Told, not asserted: other work on the machine would fail it.
  t.diagnostic(`exited after ${(performance.now() - asked).toFixed(0)} ms`)
})

test('a process that ends while its threads come up ends well, at whatever moment', async () => {
  const ends = Array.from({ length: 40 }, (_, moment) =>
    end(
      `early-${moment}`,
      `boot({ khelpers: 4 }).run('true').catch(() => {}); setTimeout(process.exit, ${moment})`,
    ),
  )
  for (const { code, signal, stderr } of await Promise.all(ends)) {
    assert.deepEqual({ code, signal, stderr }, { code: 0, signal: null, stderr: '' })
  }
})

test('a shutdown right behind a helper that is not waited for, while threads still come up, ends well', async () => {
  const script = `const kernel = boot()
    await kernel.callUsermodehelper('/bin/true', ['true'], [], UMH_NO_WAIT)
    await kernel.shutdown()`
  for (let round = 0; round < 8; round += 1) {
    const ends = await Promise.all([1, 2, 3].map(number => end(`shutdown-${number}`, script)))
    for (const { code, signal, stderr } of ends) assert.deepEqual([code, signal], [0, null], stderr)
  }
})

test('a kernel that was booted on a worker thread ends with that thread', async () => {
  const script = `
    import { Worker } from 'node:worker_threads'
    const worker = new Worker(\`import('${INDEX}').then(({ boot }) => {
      const kernel = boot()
      kernel.run('sleep', ['20']).catch(() => {})
      kernel.run('true').then(() => require('node:worker_threads').parentPort.postMessage('up'))
    })\`, { eval: true })
    worker.once('message', () => worker.terminate())`
  assert.equal((await end('worker', script)).code, 0)
})

test('from a script given on the command line', async () => {
  const child = spawn(process.execPath, [
    '--input-type=module',
    '-e',
    `import { boot } from '${INDEX}'; const kernel = boot(); console.log((await kernel.run('echo', ['hi'])).stdout)`,
  ])
  let stdout = ''
  child.stdout.on('data', chunk => {
    stdout += chunk
  })
  const [code] = await once(child, 'close')
  assert.deepEqual([code, stdout], [0, 'hi\n\n'])
})

function readable(path: string): boolean {
  try {
    return readFileSync(path, 'utf8') === 'done\n'
  } catch {
    return false
  }
}
