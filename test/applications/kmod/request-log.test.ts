import assert from 'node:assert/strict'
import { test } from 'node:test'
import { errorLine, RequestLog, warningLine } from '../../../src/applications/kmod/request-log.js'
import { SystemCallClient } from '../../../src/applications/system-calls/client.js'
import { boot } from '../../../src/index.js'
import { temporary } from '../../helpers/temporary.js'

test('the level before a line says what it is: the last error stands, all else is a warning', () => {
  const warnings: string[] = []
  const log = new RequestLog(message => warnings.push(message))
  for (const line of [errorLine('first'), warningLine('odd'), 'plain', '<6>told', '<0>last', '<x>none']) {
    log.write(line)
  }
  assert.equal(log.failure, 'last')
  assert.deepEqual(warnings, ['odd', 'plain', 'told', '<x>none'])
})

test('a line is cut, and may have more than one line in it', () => {
  const log = new RequestLog(() => {})
  log.write(errorLine(`a\nb${'x'.repeat(5_000)}`))
  assert.equal(log.failure?.length, 1_024)
  assert.match(log.failure ?? '', /^a\nbx/)
})

test('an operator has no task to tell of: EPERM', async () => {
  const socket = temporary('kmsg.sock')
  await using kernel = boot({ khelpers: 1, socket })
  await kernel.ready
  using client = await SystemCallClient.connect({ socket })
  await assert.rejects(client.call('kmsg', 'hello'), { code: 'EPERM' })
})
