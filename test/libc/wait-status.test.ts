import assert from 'node:assert/strict'
import { test } from 'node:test'
import { exitStatus, signalName, terminationSignal, waitStatusOf } from '../../src/libc/index.js'

const CORE_DUMPED = 0x80

test('an exit status goes into a wait status and comes out again, as far as it has bits for it', () => {
  for (const status of [0, 1, 127, 255]) {
    assert.equal(exitStatus(waitStatusOf(status)), status)
    assert.equal(terminationSignal(waitStatusOf(status)), 0)
  }
  assert.equal(waitStatusOf(-1), 0xff00)
  assert.equal(waitStatusOf(256), 0)
})

test('a signal is told, whether or not a core was dumped', () => {
  assert.equal(terminationSignal(9), 9)
  assert.equal(terminationSignal(11 | CORE_DUMPED), 11)
})

test('signals have their usual names, those of real time a number', () => {
  assert.deepEqual([6, 9, 29, 34].map(signalName), ['SIGABRT', 'SIGKILL', 'SIGIO', 'SIG34'])
})
