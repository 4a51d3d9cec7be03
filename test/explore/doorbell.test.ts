import { doorbell } from './protocols.js'
import { testProtocol } from './test-protocol.js'

testProtocol(doorbell)
